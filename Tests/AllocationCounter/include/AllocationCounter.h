#ifndef ALLOCATION_COUNTER_H
#define ALLOCATION_COUNTER_H

// The file that ALLOCATION_COUNTER_FILE names is an array of these, one for each thread that ever
// called the allocator. Tests read it while the process runs.
struct allocation_counter_slot {
  // 0: the slot is free, and all behind it.
  unsigned long thread_id;
  // Calls of malloc, calloc, realloc, posix_memalign, aligned_alloc, memalign.
  unsigned long allocations;
  // Calls of free with something to free.
  unsigned long releases;
};

#define ALLOCATION_COUNTER_SLOTS 1024

#endif
