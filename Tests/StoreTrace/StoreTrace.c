#define _GNU_SOURCE
#include "CStoreTrace.h"

#include <signal.h>
#include <string.h>

struct trace {
  const unsigned char *memory;
  size_t byte_count;
  unsigned char *snapshots;
  size_t capacity;
  size_t count;
  int overflowed;
};

static _Thread_local struct trace *volatile current;

static void take(struct trace *trace) {
  if (trace->count == trace->capacity) {
    trace->overflowed = 1;
    return;
  }
  memcpy(trace->snapshots + trace->count * trace->byte_count, trace->memory, trace->byte_count);
  trace->count++;
}

#if defined(__x86_64__)
static void step(int signal) {
  (void)signal;
  struct trace *trace = current;
  if (!trace || trace->overflowed) return;
  if (memcmp(trace->snapshots + (trace->count - 1) * trace->byte_count, trace->memory, trace->byte_count)) take(trace);
}

long store_trace(const void *memory, size_t byte_count, void *snapshots, size_t capacity, void (*body)(void *),
                 void *context) {
  struct trace trace = {memory, byte_count, snapshots, capacity, 0, 0};
  struct sigaction action = {.sa_handler = step}, before;
  sigemptyset(&action.sa_mask);
  if (sigaction(SIGTRAP, &action, &before)) return -2;
  take(&trace);
  current = &trace;
  // The trap flag: an exception after each instruction, until it is cleared again.
  __asm__ volatile("pushfq\n orq $0x100, (%%rsp)\n popfq" ::: "memory", "cc");
  body(context);
  __asm__ volatile("pushfq\n andq $-257, (%%rsp)\n popfq" ::: "memory", "cc");
  current = NULL;
  sigaction(SIGTRAP, &before, NULL);
  return trace.overflowed ? -1 : (long)trace.count;
}
#else
long store_trace(const void *memory, size_t byte_count, void *snapshots, size_t capacity, void (*body)(void *),
                 void *context) {
  (void)memory, (void)byte_count, (void)snapshots, (void)capacity, (void)body, (void)context, (void)take;
  return -2;
}
#endif
