#define _GNU_SOURCE
#include "RingProbe.h"

#include <CUring.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <unistd.h>

// What CUring.c has.
static struct io_uring *ring_of(curing *ring) { return (struct io_uring *)ring; }

static int outcome(curing *ring) {
  struct io_uring_cqe *cqe;
  int result = io_uring_submit(ring_of(ring));
  if (result >= 0) result = io_uring_wait_cqe(ring_of(ring), &cqe);
  return result < 0 ? result : cqe->res;
}

int ring_probe_open(void) {
  int error = 0;
  curing *ring = curing_make(4, &error);
  if (!ring) return error;
  io_uring_prep_openat(io_uring_get_sqe(ring_of(ring)), AT_FDCWD, "/dev/null", O_RDONLY, 0);
  int result = outcome(ring);
  curing_free(ring);
  return result;
}

int ring_probe_read(void) {
  int error = 0;
  curing *ring = curing_make(4, &error);
  if (!ring) return error;
  int file = open("/dev/zero", O_RDONLY | O_CLOEXEC);
  char bytes[8];
  struct iovec vector = {bytes, sizeof bytes};
  io_uring_prep_readv(io_uring_get_sqe(ring_of(ring)), file, &vector, 1, 0);
  int result = outcome(ring);
  close(file);
  curing_free(ring);
  return result;
}

int ring_probe_register(void) {
  int error = 0;
  curing *ring = curing_make(4, &error);
  if (!ring) return error;
  static char bytes[4096];
  struct iovec vector = {bytes, sizeof bytes};
  int result = io_uring_register_buffers(ring_of(ring), &vector, 1);
  curing_free(ring);
  return result;
}
