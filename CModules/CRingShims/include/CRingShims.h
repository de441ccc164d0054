// Loads, stores and fences on memory that somebody else writes at the same time: the guest's rings and buffers,
// counters read by another thread. Each access is made exactly once, as written; the compiler may not repeat or split it.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define CRING_HOT \
  static inline __attribute__((always_inline, swift_attr("@_noAllocation"), swift_attr("@_noLocks")))

// Unaligned little-endian fields at guest-chosen addresses: one volatile access each.
typedef struct { uint16_t v; } __attribute__((packed, may_alias)) cring_u16;
typedef struct { uint32_t v; } __attribute__((packed, may_alias)) cring_u32;
typedef struct { uint64_t v; } __attribute__((packed, may_alias)) cring_u64;

CRING_HOT uint8_t cring_load8(const void *p) { return *(const volatile uint8_t *)p; }
CRING_HOT uint16_t cring_load16(const void *p) { return ((const volatile cring_u16 *)p)->v; }
CRING_HOT uint32_t cring_load32(const void *p) { return ((const volatile cring_u32 *)p)->v; }
CRING_HOT uint64_t cring_load64(const void *p) { return ((const volatile cring_u64 *)p)->v; }
CRING_HOT void cring_store8(void *p, uint8_t v) { *(volatile uint8_t *)p = v; }
CRING_HOT void cring_store16(void *p, uint16_t v) { ((volatile cring_u16 *)p)->v = v; }
CRING_HOT void cring_store32(void *p, uint32_t v) { ((volatile cring_u32 *)p)->v = v; }
CRING_HOT void cring_store64(void *p, uint64_t v) { ((volatile cring_u64 *)p)->v = v; }

// Aligned, ordered accesses: ring indices, flags between our own threads.
CRING_HOT uint8_t cring_load8_relaxed(const void *p) { return __atomic_load_n((const uint8_t *)p, __ATOMIC_RELAXED); }
CRING_HOT void cring_store8_relaxed(void *p, uint8_t v) { __atomic_store_n((uint8_t *)p, v, __ATOMIC_RELAXED); }
CRING_HOT uint16_t cring_load16_acquire(const void *p) { return __atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE); }
CRING_HOT uint16_t cring_load16_relaxed(const void *p) { return __atomic_load_n((const uint16_t *)p, __ATOMIC_RELAXED); }
CRING_HOT void cring_store16_release(void *p, uint16_t v) { __atomic_store_n((uint16_t *)p, v, __ATOMIC_RELEASE); }
CRING_HOT void cring_store16_relaxed(void *p, uint16_t v) { __atomic_store_n((uint16_t *)p, v, __ATOMIC_RELAXED); }
CRING_HOT uint32_t cring_load32_acquire(const void *p) { return __atomic_load_n((const uint32_t *)p, __ATOMIC_ACQUIRE); }
CRING_HOT void cring_store32_release(void *p, uint32_t v) { __atomic_store_n((uint32_t *)p, v, __ATOMIC_RELEASE); }
CRING_HOT uint64_t cring_load64_acquire(const void *p) { return __atomic_load_n((const uint64_t *)p, __ATOMIC_ACQUIRE); }
CRING_HOT uint64_t cring_load64_relaxed(const void *p) { return __atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED); }
CRING_HOT void cring_store64_release(void *p, uint64_t v) { __atomic_store_n((uint64_t *)p, v, __ATOMIC_RELEASE); }
CRING_HOT void cring_store64_relaxed(void *p, uint64_t v) { __atomic_store_n((uint64_t *)p, v, __ATOMIC_RELAXED); }
CRING_HOT uint64_t cring_exchange64(void *p, uint64_t v) { return __atomic_exchange_n((uint64_t *)p, v, __ATOMIC_ACQ_REL); }
// Stores `v` where `*expected` still stands; else puts what stands there into `*expected`, and is false.
CRING_HOT bool cring_compare_exchange64(void *p, uint64_t *expected, uint64_t v) {
  return __atomic_compare_exchange_n((uint64_t *)p, expected, v, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

// Sets bits of a byte whose other bits somebody else sets and clears at the same time.
CRING_HOT void cring_set_bits8(void *p, uint8_t bits) { __atomic_fetch_or((uint8_t *)p, bits, __ATOMIC_SEQ_CST); }

// Keeps the order of stores for a process that is killed between two of them, whatever they are: what its processor has done
// is what its program said, so that only the compiler has to be told.
CRING_HOT void cring_step(void) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }
CRING_HOT void cring_fence_full(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
CRING_HOT void cring_fence_acquire(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
CRING_HOT void cring_fence_release(void) { __atomic_thread_fence(__ATOMIC_RELEASE); }

// What was stored before is visible to the driver; what it has done is visible to us. The accesses to the ring say so to
// processors. ThreadSanitizer does not see the driver, which may have waited for one queue's result before it used the same
// buffer in another queue; to its knowledge all drivers are one thread.
#ifdef UNDER_THREAD_SANITIZER
void __tsan_acquire(void *place);
void __tsan_release(void *place);
CRING_HOT void cring_driver_acquire(void) { __tsan_acquire((void *)&__tsan_acquire); }
CRING_HOT void cring_driver_release(void) { __tsan_release((void *)&__tsan_acquire); }
#else
CRING_HOT void cring_driver_acquire(void) {}
CRING_HOT void cring_driver_release(void) {}
#endif

CRING_HOT void cring_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

CRING_HOT void cring_prefetch(const void *p) { __builtin_prefetch(p, 0, 3); }

// Copies, fills and wipes. The guest may write the source meanwhile: whatever is copied is what is checked and used.
CRING_HOT void cring_copy(void *to, const void *from, size_t count) { memcpy(to, from, count); }
// Of fixed size, without a call: a request's header, its usual fixed part, its IV.
CRING_HOT void cring_copy16(void *to, const void *from) { memcpy(to, from, 16); }
CRING_HOT void cring_copy24(void *to, const void *from) { memcpy(to, from, 24); }
CRING_HOT void cring_copy48(void *to, const void *from) { memcpy(to, from, 48); }
CRING_HOT void cring_move(void *to, const void *from, size_t count) { memmove(to, from, count); }
CRING_HOT void cring_zero(void *p, size_t count) { memset(p, 0, count); }
// A fill that the optimiser may not drop although nobody reads the memory again.
CRING_HOT void cring_wipe(void *p, size_t count) {
  memset(p, 0, count);
  __asm__ volatile("" : : "r"(p) : "memory");
}
