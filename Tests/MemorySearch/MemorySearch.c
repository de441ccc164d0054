#define _GNU_SOURCE
#include "MemorySearch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGE = 4096, OVERLAP = 64, WINDOW = 2048, CHUNK = 4 << 20 };

// What /proc/PID/pagemap says of the pages around one, so that not every page costs a system call.
struct page_window {
  int pagemap;
  uint64_t first;
  size_t count;
  uint64_t entries[WINDOW];
};

// Whether a page is in memory or swapped out; where nobody can tell, it is.
static int is_touched(struct page_window *window, uint64_t address) {
  uint64_t page = address / PAGE;
  if (page < window->first || page - window->first >= window->count) {
    ssize_t got = pread(window->pagemap, window->entries, sizeof window->entries,
                        (off_t)(page * sizeof window->entries[0]));
    window->first = page;
    window->count = got > 0 ? (size_t)got / sizeof window->entries[0] : 0;
    if (window->count == 0) return 1;
  }
  return (window->entries[page - window->first] >> 62) != 0;
}

// What is done with a run of bytes that was read: `from` bytes of it are those kept from the run before.
typedef void visitor(void *context, const uint8_t *bytes, size_t count, uint64_t address,
                     size_t from);

// Reads all touched pages, in pieces that share OVERLAP bytes, into `buffer` (CHUNK + OVERLAP bytes).
static void read_touched(int memory, int pagemap, uint64_t start, uint64_t end, uint8_t *buffer,
                         visitor *visit, void *context, size_t *read_count) {
  struct page_window *window = calloc(1, sizeof *window);
  if (!window) abort();
  window->pagemap = pagemap;
  // Bytes kept from the run of pages before, so that a needle may lie across.
  size_t kept = 0;
  uint64_t position = start;
  while (position < end) {
    if (!is_touched(window, position)) {
      kept = 0;
      position += PAGE;
      continue;
    }
    uint64_t run = position;
    while (run < end && run - position < CHUNK && is_touched(window, run)) run += PAGE;
    ssize_t got = pread(memory, buffer + kept, run - position, (off_t)position);
    if (got <= 0) {
      kept = 0;
      position += PAGE;
      continue;
    }
    *read_count += (size_t)got;
    size_t count = kept + (size_t)got;
    visit(context, buffer, count, position - kept, kept);
    position += (uint64_t)got;
    size_t keep = count < OVERLAP ? count : OVERLAP;
    memmove(buffer, buffer + count - keep, keep);
    kept = keep;
  }
  free(window);
}

struct needles {
  const struct memory_needle *list;
  size_t count;
  struct memory_hit *hits;
  size_t capacity;
  size_t found;
};

static void find_needles(void *context, const uint8_t *bytes, size_t count, uint64_t address,
                         size_t from) {
  struct needles *needles = context;
  for (size_t index = 0; index < needles->count; index++) {
    const struct memory_needle *needle = &needles->list[index];
    if (count < needle->count) continue;
    const uint8_t *next = bytes;
    const uint8_t *last = bytes + (count - needle->count);
    while (next <= last && (next = memchr(next, needle->bytes[0], (size_t)(last - next) + 1))) {
      size_t offset = (size_t)(next - bytes);
      // What lies in the overlap alone was found with the chunk before.
      if (offset + needle->count > from && memcmp(next, needle->bytes, needle->count) == 0) {
        if (needles->found < needles->capacity) {
          struct memory_hit *hit = &needles->hits[needles->found];
          hit->address = address + offset;
          hit->needle = index;
          hit->count = count - offset < sizeof hit->bytes ? count - offset : sizeof hit->bytes;
          memcpy(hit->bytes, next, hit->count);
        }
        needles->found++;
      }
      next++;
    }
  }
}

size_t memory_search(int memory, int pagemap, uint64_t start, uint64_t end,
                     const struct memory_needle *list, size_t needle_count,
                     struct memory_hit *hits, size_t capacity, size_t *read_count) {
  struct needles needles = {list, needle_count, hits, capacity, 0};
  uint8_t *buffer = malloc(CHUNK + OVERLAP);
  if (!buffer) abort();
  read_touched(memory, pagemap, start, end, buffer, find_needles, &needles, read_count);
  free(buffer);
  return needles.found;
}

struct complement {
  const uint8_t *bytes;
  size_t count;
  uint64_t buffer;
  size_t found;
};

static void find_complement(void *context, const uint8_t *bytes, size_t count, uint64_t address,
                            size_t from) {
  struct complement *complement = context;
  if (count < complement->count) return;
  const uint8_t *next = bytes;
  const uint8_t *last = bytes + (count - complement->count);
  int first = (uint8_t)~complement->bytes[0];
  while (next <= last && (next = memchr(next, first, (size_t)(last - next) + 1))) {
    size_t offset = (size_t)(next - bytes);
    size_t same = 1;
    while (same < complement->count && next[same] == (uint8_t)~complement->bytes[same]) same++;
    // The buffer has what was read before, and is no place of the secret.
    if (same == complement->count && offset + same > from &&
        address + offset - complement->buffer >= CHUNK + OVERLAP)
      complement->found++;
    next++;
  }
}

size_t memory_count_own(int memory, int pagemap, uint64_t start, uint64_t end,
                        const uint8_t *bytes, size_t count, size_t *read_count) {
  uint8_t *buffer = malloc(CHUNK + OVERLAP);
  if (!buffer) abort();
  struct complement complement = {bytes, count, (uint64_t)(uintptr_t)buffer, 0};
  read_touched(memory, pagemap, start, end, buffer, find_complement, &complement, read_count);
  // The next search must not find what this one copied.
  explicit_bzero(buffer, CHUNK + OVERLAP);
  free(buffer);
  return complement.found;
}
