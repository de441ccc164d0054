#ifndef MEMORY_SEARCH_H
#define MEMORY_SEARCH_H

#include <stddef.h>
#include <stdint.h>

// Bytes to look for, at most 64.
struct memory_needle {
  const uint8_t *bytes;
  size_t count;
};

struct memory_hit {
  uint64_t address;
  size_t needle;
  // What stands there, the needle and what follows it, as far as it could be read.
  uint8_t bytes[32];
  size_t count;
};

// Looks for the needles in [start, end) of a process, whose /proc/PID/mem and /proc/PID/pagemap are
// open. Pages that the process never touched are left out. Adds what was read to `*read_count`.
// The hits that there are; at most `capacity` of them are stored.
size_t memory_search(int memory, int pagemap, uint64_t start, uint64_t end,
                     const struct memory_needle *needles, size_t needle_count,
                     struct memory_hit *hits, size_t capacity, size_t *read_count);

// The same in this process, for bytes (at most 64) whose complement is given, so that the question does not put them
// into memory itself; how often they stand there.
size_t memory_count_own(int memory, int pagemap, uint64_t start, uint64_t end,
                        const uint8_t *complement, size_t count, size_t *read_count);

#endif
