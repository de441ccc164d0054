// Of the tests: what else than workers do is done with a worker's ring.
#pragma once

// Has a ring open a file for reading; the completion's result.
int ring_probe_open(void);
// Has a ring read from /dev/zero by an operation that workers use; the completion's result.
int ring_probe_read(void);
// Registers a buffer with a ring; the result.
int ring_probe_register(void);
