"""A vhost-user front-end that outlives its back-end, for one that does not.

QEMU's devices for virtio-crypto cannot come back to a daemon that was restarted (docs/reliability.md#front-ends). This
stands between the two: it hands QEMU's messages on, remembers what they set up, keeps the record of requests in flight,
and gives all of it to the next daemon, as a front-end that can reconnect does. Rings, memory, kicks and calls are shared
by descriptor, so requests do not pass through here.
"""

import mmap
import os
import socket
import struct
import time

HEADER = struct.Struct("=III")
VERSION, REPLY, NEED_REPLY = 1, 4, 8
GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE = 1, 2, 3, 5
SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE = 8, 9, 10, 11
SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR = 12, 13, 14
GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, GET_QUEUE_NUM, SET_VRING_ENABLE = 15, 16, 17, 18
GET_CONFIG, CREATE_CRYPTO_SESSION, GET_INFLIGHT_FD, SET_INFLIGHT_FD = 24, 26, 31, 32
RESET_DEVICE, GET_MAX_MEM_SLOTS, SET_STATUS, GET_STATUS = 34, 36, 39, 40

ANSWERED = {GET_FEATURES, GET_VRING_BASE, GET_PROTOCOL_FEATURES, GET_QUEUE_NUM, GET_CONFIG, CREATE_CRYPTO_SESSION,
            GET_MAX_MEM_SLOTS, GET_STATUS, GET_INFLIGHT_FD}
OF_RINGS = [SET_VRING_NUM, SET_VRING_BASE, SET_VRING_ADDR, SET_VRING_ERR, SET_VRING_CALL, SET_VRING_KICK,
            SET_VRING_ENABLE]
ONCE = [SET_PROTOCOL_FEATURES, SET_FEATURES, SET_MEM_TABLE, SET_STATUS]
# What QEMU is not offered: channels that would end with the daemon (BACKEND_REQ, BACKEND_SEND_FD, and what needs them,
# INBAND_NOTIFICATIONS), and a second way to share memory (CONFIGURE_MEM_SLOTS). The record (INFLIGHT_SHMFD) is kept here.
RECORD = 1 << 12
HIDDEN = RECORD | 1 << 5 | 1 << 10 | 1 << 14 | 1 << 15
REPLY_ACK = 1 << 3
RING_PACKED = 1 << 34


class Gone(Exception):
    """The other side has closed the connection."""


class Message:
    def __init__(self, request, payload=b"", files=(), flags=VERSION):
        self.request, self.payload, self.files, self.flags = request, bytes(payload), list(files), flags

    @property
    def number(self):
        return struct.unpack_from("=Q", self.payload)[0]

    @property
    def ring(self):
        return struct.unpack_from("=I", self.payload)[0] & 0xFF

    def close(self):
        for file in self.files:
            os.close(file)


def receive(connection):
    data, files = bytearray(), []
    size = HEADER.size
    while len(data) < size:
        try:
            piece, more, _, _ = socket.recv_fds(connection, size - len(data), 8)
        except ConnectionError as error:
            raise Gone from error
        if not piece:
            raise Gone
        data += piece
        files += more
        if len(data) == HEADER.size:
            size += HEADER.unpack(data)[2]
    request, flags, _ = HEADER.unpack_from(data)
    return Message(request, data[HEADER.size:], files, flags)


def send(connection, message):
    data = HEADER.pack(message.request, message.flags, len(message.payload)) + message.payload
    try:
        sent = socket.send_fds(connection, [data], message.files) if message.files else connection.send(data)
        connection.sendall(data[sent:])
    except ConnectionError as error:
        raise Gone from error


class SteadyFrontEnd:
    """Between a virtual machine monitor and the daemons that listen at a path, one after the other."""

    def __init__(self, monitor, path, patience=20):
        self.monitor, self.path, self.patience = monitor, path, patience
        self.once, self.rings = {}, {}
        self.queue_count, self.acknowledges = 0, False
        self.record = self.record_bytes = None
        self.daemon = None
        self.connect()

    # What the monitor says.

    def serve(self):
        """Handles one message of the monitor's; raises Gone when that has left."""
        message = receive(self.monitor)
        if message.request == SET_PROTOCOL_FEATURES:
            self.acknowledges = bool(message.number & REPLY_ACK)
            message.payload = struct.pack("=Q", message.number | RECORD)
        if message.request == SET_VRING_NUM and self.record is None:
            self.make_record(struct.unpack("=II", message.payload)[1])
        answer = self.exchange(message)
        self.remember(message, answer)
        if answer is not None:
            if answer.request == GET_PROTOCOL_FEATURES:
                answer.payload = struct.pack("=Q", answer.number & ~HIDDEN)
            send(self.monitor, answer)

    def exchange(self, message):
        """The daemon's answer, where one is due, whichever daemon gives it."""
        for _ in range(5):
            try:
                send(self.daemon, message)
                if message.request in ANSWERED or (message.flags & NEED_REPLY and self.acknowledges):
                    return receive(self.daemon)
                return None
            except Gone:
                self.recover()
        raise SystemExit(f"steady_front_end: no daemon survives message {message.request}")

    def remember(self, message, answer):
        if message.request in ONCE:
            self.replace(self.once, message.request, message)
            if message.request == SET_FEATURES:
                # The kind of rings may be another; they do not run.
                self.drop_record()
        elif message.request in OF_RINGS:
            self.replace(self.rings.setdefault(message.ring, {}), message.request, message)
        else:
            if message.request == GET_QUEUE_NUM:
                self.queue_count = answer.number
            if message.request == GET_VRING_BASE:
                ring = self.rings.setdefault(message.ring, {})
                self.replace(ring, SET_VRING_BASE, Message(SET_VRING_BASE, answer.payload))
                self.replace(ring, SET_VRING_KICK, None)
            message.close()

    @staticmethod
    def replace(place, key, message):
        if place.get(key):
            place[key].close()
        place[key] = message

    # The record of requests in flight.

    def make_record(self, size):
        question = Message(GET_INFLIGHT_FD, struct.pack("=QQHH", 0, 0, self.queue_count, size))
        answer = self.exchange(question)
        if len(answer.files) != 1:
            raise SystemExit("steady_front_end: the daemon gives no record")
        self.record = Message(SET_INFLIGHT_FD, answer.payload, answer.files)
        self.record_bytes = mmap.mmap(answer.files[0], struct.unpack_from("=Q", answer.payload)[0], prot=mmap.PROT_READ)
        send(self.daemon, self.record)

    def drop_record(self):
        if self.record:
            self.record.close()
            self.record_bytes.close()
        self.record = self.record_bytes = None

    def taken(self, queue):
        """How many chains of a queue the daemon has taken and not answered; of a packed ring, their descriptors.

        A daemon's record of a packed ring numbers descriptors as they are taken, from a place in the ring on, and has only
        chains in its states that were finished out of turn (docs/reliability.md#restarts).
        Spec: vhost-user, "Inflight I/O tracking".
        """
        packed = self.once[SET_FEATURES].number & RING_PACKED
        head, state = (32, 32) if packed else (16, 16)
        size = struct.unpack_from("=QQHH", self.record.payload)[3]
        start = queue * ((head + state * size + 63) // 64 * 64)
        if packed:
            number, = struct.unpack_from("=Q", self.record_bytes, start + 24)
            used, _, wrap = struct.unpack_from("=HHB", self.record_bytes, start + 16)
            if number >> 62:
                ring = struct.unpack("=II", self.rings[queue][SET_VRING_NUM].payload)[1]
                return ((number & ~(1 << 63)) - used - (0 if wrap else ring)) % (2 * ring)
        return self.record_bytes[start + head:start + head + state * size:state].count(1)

    def in_flight(self):
        """The same of all queues."""
        return sum(self.taken(queue) for queue in range(self.queue_count))

    def wait_for_request(self, seconds):
        """Returns in the middle of a request of the first queue, if there is one in time."""
        end = time.monotonic() + seconds
        while not self.taken(0) and time.monotonic() < end:
            pass

    # The next daemon.

    def connect(self):
        self.daemon = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.daemon.settimeout(self.patience)
        end = time.monotonic() + self.patience
        while True:
            try:
                return self.daemon.connect(self.path)
            except (ConnectionRefusedError, FileNotFoundError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.002)

    def recover(self):
        """Gives everything that the last daemon had to the next one."""
        self.daemon.close()
        self.connect()
        send(self.daemon, Message(SET_OWNER))
        for request in (SET_PROTOCOL_FEATURES, SET_FEATURES):
            if request in self.once:
                self.repeat(self.once[request])
        if self.record:
            self.repeat(self.record)
        if SET_MEM_TABLE in self.once:
            self.repeat(self.once[SET_MEM_TABLE])
        for _, ring in sorted(self.rings.items()):
            for request in OF_RINGS:
                if ring.get(request):
                    self.repeat(ring[request])
        if SET_STATUS in self.once:
            self.repeat(self.once[SET_STATUS])

    def repeat(self, message):
        asks = self.acknowledges and message.request != SET_PROTOCOL_FEATURES
        send(self.daemon, Message(message.request, message.payload, message.files,
                                  VERSION | (NEED_REPLY if asks else 0)))
        if asks and receive(self.daemon).number != 0:
            raise SystemExit(f"steady_front_end: the next daemon refuses message {message.request}")
