#define _GNU_SOURCE
#include "CLinuxShims.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static int result(long value) { return value < 0 ? -errno : 0; }

int clinux_become(unsigned user, unsigned group, const unsigned *groups, size_t count) {
  if (setgroups(count, groups) < 0 || setresgid(group, group, group) < 0 || setresuid(user, user, user) < 0) return -errno;
  unsigned real, effective, saved;
  if (getresuid(&real, &effective, &saved) < 0) return -errno;
  if (real != user || effective != user || saved != user) return -EPERM;
  if (getresgid(&real, &effective, &saved) < 0) return -errno;
  if (real != group || effective != group || saved != group) return -EPERM;
  // There is no way back.
  return user != 0 && (setuid(0) == 0 || seteuid(0) == 0) ? -EPERM : 0;
}

static int read_capabilities(struct __user_cap_data_struct data[2]) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  return result(syscall(SYS_capget, &header, data));
}

static int write_capabilities(const struct __user_cap_data_struct data[2]) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  return result(syscall(SYS_capset, &header, data));
}

int clinux_forgo_capability(int capability) {
  struct __user_cap_data_struct data[2];
  int error = read_capabilities(data);
  if (error < 0) return error;
  unsigned word = (unsigned)capability / 32, bit = 1u << ((unsigned)capability % 32);
  if (!((data[word].effective | data[word].permitted | data[word].inheritable) & bit)) return 0;
  data[word].effective &= ~bit;
  data[word].permitted &= ~bit;
  data[word].inheritable &= ~bit;
  return write_capabilities(data);
}

int clinux_bound_capabilities(void) {
  for (int capability = 0;; capability++) {
    int is_bound = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    if (is_bound < 0) return capability;  // One beyond the kernel's last.
    if (is_bound && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) return -errno;
  }
}

int clinux_drop_capabilities(void) {
  static const struct __user_cap_data_struct nothing[2];
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL) return -errno;
  struct __user_cap_data_struct left[2];
  int error = read_capabilities(left);
  // Who has none may not even be allowed to say so (systemd's SystemCallFilter=~@privileged).
  if (error < 0 || memcmp(left, nothing, sizeof left) == 0) return error;
  error = write_capabilities(nothing);
  if (error == 0) error = read_capabilities(left);
  if (error < 0) return error;
  return memcmp(left, nothing, sizeof left) == 0 ? 0 : -EPERM;
}

// In a build with a sanitizer: the runtime gets ready for a sandbox.
extern void __sanitizer_sandbox_on_notify(void *arguments) __attribute__((weak));

void clinux_end_sanitizer_threads(void) {
  if (__sanitizer_sandbox_on_notify) __sanitizer_sandbox_on_notify(NULL);
}

int clinux_no_new_privileges(void) { return result(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)); }

int clinux_permit_dumps(void) { return result(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)); }

int clinux_give_socket_file(const char *path, unsigned user, unsigned group) {
  // By a descriptor of what is there now, so that nothing put in its place meanwhile is given away.
  int file = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (file < 0) return -errno;
  struct stat status;
  int error = fstat(file, &status) < 0 ? -errno : S_ISSOCK(status.st_mode) ? 0 : -ENOTSOCK;
  if (error == 0) error = result(fchownat(file, "", user, group, AT_EMPTY_PATH));
  close(file);
  return error;
}
