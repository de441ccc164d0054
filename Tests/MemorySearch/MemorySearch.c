#define _GNU_SOURCE
#include "MemorySearch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGE = 4096, OVERLAP = 64, CHUNK = 4 << 20 };

// Whether a page is in memory or swapped out; where nobody can tell, it is.
static int is_touched(int pagemap, uint64_t address) {
  uint64_t entry;
  if (pread(pagemap, &entry, sizeof entry, (off_t)(address / PAGE * sizeof entry)) !=
      sizeof entry)
    return 1;
  return (entry >> 62) != 0;
}

static size_t search_bytes(const uint8_t *bytes, size_t count, uint64_t address, size_t from,
                           const struct memory_needle *needles, size_t needle_count,
                           struct memory_hit *hits, size_t capacity, size_t found) {
  for (size_t index = 0; index < needle_count; index++) {
    const struct memory_needle *needle = &needles[index];
    if (count < needle->count) continue;
    const uint8_t *next = bytes;
    const uint8_t *last = bytes + (count - needle->count);
    while (next <= last && (next = memchr(next, needle->bytes[0], (size_t)(last - next) + 1))) {
      size_t offset = (size_t)(next - bytes);
      // What lies in the overlap alone was found with the chunk before.
      if (offset + needle->count > from && memcmp(next, needle->bytes, needle->count) == 0) {
        if (found < capacity) {
          struct memory_hit *hit = &hits[found];
          hit->address = address + offset;
          hit->needle = index;
          hit->count = count - offset < sizeof hit->bytes ? count - offset : sizeof hit->bytes;
          memcpy(hit->bytes, next, hit->count);
        }
        found++;
      }
      next++;
    }
  }
  return found;
}

size_t memory_search(int memory, int pagemap, uint64_t start, uint64_t end,
                     const struct memory_needle *needles, size_t needle_count,
                     struct memory_hit *hits, size_t capacity, size_t *read_count) {
  size_t found = 0;
  uint8_t *buffer = malloc(CHUNK + OVERLAP);
  if (!buffer) abort();
  // Bytes kept from the run of pages before, so that a needle may lie across.
  size_t kept = 0;
  uint64_t position = start;
  while (position < end) {
    if (!is_touched(pagemap, position)) {
      kept = 0;
      position += PAGE;
      continue;
    }
    uint64_t run = position;
    while (run < end && run - position < CHUNK && is_touched(pagemap, run)) run += PAGE;
    ssize_t got = pread(memory, buffer + kept, run - position, (off_t)position);
    if (got <= 0) {
      kept = 0;
      position += PAGE;
      continue;
    }
    *read_count += (size_t)got;
    size_t count = kept + (size_t)got;
    found = search_bytes(buffer, count, position - kept, kept, needles, needle_count, hits,
                         capacity, found);
    position += (uint64_t)got;
    size_t keep = count < OVERLAP ? count : OVERLAP;
    memmove(buffer, buffer + count - keep, keep);
    kept = keep;
  }
  free(buffer);
  return found;
}
