// What a worker's loop needs of liburing, as plain annotated functions.
//
// liburing's own header stays out of Swift's sight: it sets feature macros that make glibc's types look different.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define CURING_CALL __attribute__((swift_attr("@_noAllocation"), swift_attr("@_noLocks")))

typedef struct curing curing;

// Sets a ring up with the newest flags that the kernel takes: one issuer, completions run when we ask for them. It takes
// the operations that are prepared below, and no others.
// NULL with -errno in `*error` where that fails.
curing *curing_make(unsigned entries, int *error);
void curing_free(curing *ring);

// Prepares a multishot poll for input; false where the submission queue is full.
CURING_CALL bool curing_poll_multishot(curing *ring, int fd, uint64_t user_data);
// Prepares the addition of one to a non-blocking eventfd. It completes at once and silently, unless it fails; a full
// eventfd, which is signalled anyway, is left alone.
CURING_CALL bool curing_signal(curing *ring, int fd, uint64_t user_data);
// Whether a descriptor is non-blocking, as `curing_signal` needs it.
bool curing_is_nonblocking(int fd);
// Adds one to an eventfd of either kind, at once.
CURING_CALL void curing_signal_now(int fd);

// How many operations are prepared and not submitted.
CURING_CALL unsigned curing_prepared(const curing *ring);
// Makes room for `count` operations that belong to one submission, by submitting what is prepared if need be; false
// where there is none now.
CURING_CALL bool curing_reserve(curing *ring, unsigned count);
// Whether the kernel can leave out completions (5.17).
CURING_CALL bool curing_sends_silently(const curing *ring);
// Prepares sendmsg, and linked to it readv, on one socket. If sending fails, that completes and the read does not; else
// only the read does. (Where `curing_sends_silently` is false, both complete.)
// `*_in_thread`: leave it to a thread of the kernel's at once, as it may take long. Room for two was reserved.
CURING_CALL void curing_send_then_read(curing *ring, int fd, const void *message, const void *vector, unsigned count,
                                       uint64_t user_data, uint64_t send_data, bool send_in_thread,
                                       bool read_in_thread);

// Submits what is prepared. The number submitted, or -errno.
CURING_CALL int curing_submit(curing *ring);
// Submits, and waits for one completion; an interrupted wait is a wait that ended.
CURING_CALL int curing_submit_and_wait(curing *ring);
// The same, for so long at most.
CURING_CALL int curing_submit_and_wait_for(curing *ring, uint64_t nanoseconds);

// Takes the next completion; false if there is none. A system call only where the kernel says that completions wait
// for one.
CURING_CALL bool curing_next(curing *ring, uint64_t *user_data, int32_t *result, bool *has_more);
