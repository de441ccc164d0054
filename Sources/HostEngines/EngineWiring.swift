// HostEngines: the engines of this build put together, started on this host, tested, and measured against each other.
//
// The only room that knows which engines there are; both programs use it. What an operator wants of them is read in
// Capabilities, what a guest gets of them is decided in CryptoDevice.

import CryptoTypes
public import EngineAFALG
public import EngineContract
public import EngineOpenSSL

#if IPSEC_MB
  public import EngineIPsecMB
#endif

// Another engine is one more room, and one line here: the lists are read from the outermost engine, the first choice
// where nothing was measured, to the innermost.
#if IPSEC_MB
  public typealias HostLanes = LaneList<IPsecMBLane, EverywhereLanes>
#else
  public typealias HostLanes = EverywhereLanes
#endif
public typealias EverywhereLanes = LaneList<OpenSSLLane, LaneList<KernelLane, NoLanes>>

/// One worker's lanes of every engine, as one lane.
public typealias HostLane = DispatchingLane<HostLanes>

extension HostEngines {
  /// Engines that other builds have: a capability file may name them everywhere.
  static var enginesOfOtherBuilds: [EngineDescription] {
    #if IPSEC_MB
      []
    #else
      [
        EngineDescription(
          name: "ipsec-mb", algorithms: Set(CryptoAlgorithm.allCases),
          absence: "not in this build, which found no libipsec-mb")
      ]
    #endif
  }
}
