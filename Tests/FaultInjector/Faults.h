// What the files of the fault injector share.
#pragma once
#define _GNU_SOURCE
#include "FaultInjector.h"

#include <dlfcn.h>
#include <stdbool.h>

enum kind {
  // Functions of libcrypto that compute, by their own account.
  LIBCRYPTO,
  // The multi-buffer library's jobs and bursts.
  IPSEC_MB,
  // The kernel's crypto sockets: one that is opened, its key, one for an operation.
  KERNEL,
  // Memory of libcrypto.
  ALLOCATION,
  // A job manager.
  MANAGER,
  MAPPING,
  MEMFD,
  EVENTFD,
  ACCEPTING,
  THREAD,
  RING_SETUP,
  // Submitting and waiting.
  RING_CALL,
  INTERRUPT,
  LEAK_MEMORY,
  LEAK_DESCRIPTORS,
  LEAK_THREADS,
};
_Static_assert(LEAK_THREADS + 1 == FAULT_INJECTOR_KINDS, "each kind has a record");

// Rolls the dice for a call that could fail, and counts it.
bool fails(enum kind kind);
// One of them.
int pick(const int *numbers, int count);
// Whether an address is in the code of the main program, and not in a library.
bool is_program(const void *caller);

// The function that ours stands in for, whichever thread looks it up first.
#define REAL(name)                                                        \
  ({                                                                      \
    static __typeof__(&name) known;                                       \
    __typeof__(&name) real = __atomic_load_n(&known, __ATOMIC_RELAXED);   \
    if (real == NULL) {                                                   \
      real = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                  \
      __atomic_store_n(&known, real, __ATOMIC_RELAXED);                   \
    }                                                                     \
    real;                                                                 \
  })
