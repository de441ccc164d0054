// Of the tests: what shared memory looks like after each store of a piece of code, as a process finds it that comes after
// one which was killed there.
#pragma once
#include <stddef.h>

// Runs `body` one instruction at a time, and copies `memory` to `snapshots` before the first and after each that changed
// it; at most `capacity` copies. Their number, -1 where there is no room for all, -2 where this host cannot do it.
long store_trace(const void *memory, size_t byte_count, void *snapshots, size_t capacity, void (*body)(void *),
                 void *context);
