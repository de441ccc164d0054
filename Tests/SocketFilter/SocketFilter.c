// Runs a program that may not open AF_ALG sockets, as in a container:
//   socket-filter [--no-capset] PROGRAM [ARGUMENT...]
// --no-capset: nor change capabilities, as in a service with systemd's SystemCallFilter=~@privileged.
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **arguments) {
  bool forbids_capset = count > 1 && strcmp(arguments[1], "--no-capset") == 0;
  if (forbids_capset) {
    count--;
    arguments++;
  }
  if (count < 2) {
    fprintf(stderr, "usage: socket-filter [--no-capset] PROGRAM [ARGUMENT...]\n");
    return 64;
  }
  struct sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, forbids_capset ? SYS_capset : ~0u, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_ALG, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog filter = {sizeof rules / sizeof *rules, rules};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0) {
    perror("socket-filter: installing the filter");
    return 71;
  }
  execv(arguments[1], arguments + 1);
  perror(arguments[1]);
  return 71;
}
