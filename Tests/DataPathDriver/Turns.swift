import EngineContract
import HostEngines
import QueueWorkers
import VirtQueue

// A worker's turn, once for each kind of ring, as in the daemon's DataWorker+Rings.swift: lane and ring are named, so that
// everything is settled at compile time, and the compiler refuses to build it if any of it could allocate or lock.
//
// Callgrind counts what happens in the functions whose names have `countedTurn` in them (InstructionProfile.swift).

@_noAllocation @_noLocks @inline(never)
func countedTurn(
  split loop: inout WorkerLoop<HostLane, SplitQueue>
) throws(QueueError) -> Bool { try loop.turn() }

@_noAllocation @_noLocks @inline(never)
func countedTurn(
  packed loop: inout WorkerLoop<HostLane, PackedQueue>
) throws(QueueError) -> Bool { try loop.turn() }

@_noAllocation @_noLocks @inline(never)
func countedTurn(
  splitInOrder loop: inout WorkerLoop<HostLane, InOrderQueue<SplitQueue>>
) throws(QueueError) -> Bool { try loop.turn() }

@_noAllocation @_noLocks @inline(never)
func countedTurn(
  packedInOrder loop: inout WorkerLoop<HostLane, InOrderQueue<PackedQueue>>
) throws(QueueError) -> Bool { try loop.turn() }

// The same with the null engine, whose lane is no part of the proof.

typealias NullHostLane = DispatchingLane<NullLanes>

@inline(never)
func countedTurn(
  nullSplit loop: inout WorkerLoop<NullHostLane, SplitQueue>
) throws(QueueError) -> Bool { try loop.turn() }

@inline(never)
func countedTurn(
  nullPacked loop: inout WorkerLoop<NullHostLane, PackedQueue>
) throws(QueueError) -> Bool { try loop.turn() }

@inline(never)
func countedTurn(
  nullSplitInOrder loop: inout WorkerLoop<NullHostLane, InOrderQueue<SplitQueue>>
) throws(QueueError) -> Bool { try loop.turn() }

@inline(never)
func countedTurn(
  nullPackedInOrder loop: inout WorkerLoop<NullHostLane, InOrderQueue<PackedQueue>>
) throws(QueueError) -> Bool { try loop.turn() }
