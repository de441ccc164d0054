/* What the programs inside the test guest have in common. */
#ifndef GUEST_PROGRAM_H
#define GUEST_PROGRAM_H

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void fail(const char *format, ...) {
  int error = errno;
  va_list arguments;
  va_start(arguments, format);
  printf("guest: FAIL ");
  vprintf(format, arguments);
  if (error) printf(" (errno %d: %s)", error, strerror(error));
  printf("\n");
  va_end(arguments);
  fflush(stdout);
  _exit(1);
}

/* Ready for a line from the host; the host takes its snapshots between the two. */
__attribute__((unused)) static void hold(const char *name) {
  char line[64];
  printf("guest: hold %s\n", name);
  if (!fgets(line, sizeof line, stdin)) fail("no go-ahead from the host");
}

__attribute__((unused)) static void print_hex(const char *name, const uint8_t *bytes, size_t count) {
  printf(" %s=", name);
  for (size_t i = 0; i < count; i++) printf("%02x", bytes[i]);
}

#endif
