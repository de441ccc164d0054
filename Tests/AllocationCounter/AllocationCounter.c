// A preloaded library that counts the allocator calls of each thread of a program, for the proof
// that the data path has none. Everything is passed on to the C library's own allocator.

#define _GNU_SOURCE
#include "AllocationCounter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// The C library's allocator under its other names, which cannot be replaced.
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static struct allocation_counter_slot *slots;
static unsigned long slots_taken;
// Initial-exec: finding it must not allocate.
static __thread struct allocation_counter_slot *own __attribute__((tls_model("initial-exec")));

__attribute__((constructor)) static void open_counters(void) {
  const char *path = getenv("ALLOCATION_COUNTER_FILE");
  size_t size = sizeof(struct allocation_counter_slot) * ALLOCATION_COUNTER_SLOTS;
  if (path == NULL) return;
  int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return;
  if (ftruncate(file, (off_t)size) == 0) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory != MAP_FAILED) __atomic_store_n(&slots, memory, __ATOMIC_RELEASE);
  }
  close(file);
}

// The calling thread's slot; NULL while there is no file, or when all slots are taken.
static struct allocation_counter_slot *slot(void) {
  if (own != NULL) return own;
  struct allocation_counter_slot *all = __atomic_load_n(&slots, __ATOMIC_ACQUIRE);
  if (all == NULL) return NULL;
  unsigned long index = __atomic_fetch_add(&slots_taken, 1, __ATOMIC_RELAXED);
  if (index >= ALLOCATION_COUNTER_SLOTS) return NULL;
  own = &all[index];
  __atomic_store_n(&own->thread_id, (unsigned long)syscall(SYS_gettid), __ATOMIC_RELEASE);
  return own;
}

// One writer per slot; a plain increment that a reader of the file sees whole.
static void count_allocation(void) {
  struct allocation_counter_slot *mine = slot();
  if (mine) __atomic_store_n(&mine->allocations, mine->allocations + 1, __ATOMIC_RELAXED);
}

void *malloc(size_t size) {
  count_allocation();
  return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
  count_allocation();
  return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
  count_allocation();
  return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size) {
  count_allocation();
  return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
  count_allocation();
  return __libc_memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size) {
  if (alignment < sizeof(void *) || (alignment & (alignment - 1)) != 0) return EINVAL;
  count_allocation();
  void *memory = __libc_memalign(alignment, size);
  if (memory == NULL) return ENOMEM;
  *result = memory;
  return 0;
}

void free(void *memory) {
  if (memory == NULL) return;
  struct allocation_counter_slot *mine = slot();
  if (mine) __atomic_store_n(&mine->releases, mine->releases + 1, __ATOMIC_RELAXED);
  __libc_free(memory);
}
