// The init of tests/bench/boot/kernel_calls. Each line: what is called, guest instructions a call.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <x86intrin.h>

static char buffer[65536];
static int file, there[2], back[2], sockets[2];

static void must(int ok, const char* what) {
  if (!ok) {
    perror(what);
    reboot(RB_POWER_OFF);
  }
}

static void nothing(void) { syscall(SYS_getppid); }
static void read_byte(void) { must(pread(file, buffer, 1, 0) == 1, "pread"); }
static void read_much(void) { must(pread(file, buffer, sizeof buffer, 0) > 0, "pread"); }
static void write_much(void) { must(pwrite(file, buffer, sizeof buffer, 0) > 0, "pwrite"); }
static void open_close(void) { must(close(open("/tmp/file", O_RDONLY)) == 0, "open"); }

static void look(void) {
  struct stat about;
  must(stat("/tmp/file", &about) == 0, "stat");
}

static void touch(void) {
  char* memory =
      mmap(NULL, sizeof buffer, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(memory != MAP_FAILED, "mmap");
  for (size_t i = 0; i < sizeof buffer; i += 4096) memory[i] = 1;
  munmap(memory, sizeof buffer);
}

static void child(int execute) {
  const pid_t pid = fork();
  if (pid == 0) {
    if (execute) execl("/proc/self/exe", "init", "end", NULL);
    _exit(execute);
  }
  int status = 1;
  must(waitpid(pid, &status, 0) == pid && status == 0, "child");
}
static void fork_exit(void) { child(0); }
static void fork_exec(void) { child(1); }

static void two_pipes(void) {
  must(write(there[1], buffer, 1) == 1 && read(back[0], buffer, 1) == 1, "pipe");
}

static void socket_page(void) {
  must(write(sockets[0], buffer, 4096) == 4096 && read(sockets[1], buffer, 4096) == 4096, "socket");
}

static void echo(void) {
  char byte;
  while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1) {
  }
  _exit(0);
}

static void count(const char* what, int times, void (*call)(void)) {
  call();
  const unsigned long long begin = __rdtsc();
  for (int i = 0; i < times; ++i) call();
  printf("%-28s %10llu\n", what, (__rdtsc() - begin) / (unsigned)times);
}

int main(int argc, char** argv) {
  if (argc > 1 && strcmp(argv[1], "end") == 0) _exit(0);
  must(mount("tmpfs", "/tmp", "tmpfs", 0, NULL) == 0, "mount /tmp");
  must(mount("proc", "/proc", "proc", 0, NULL) == 0, "mount /proc");
  file = open("/tmp/file", O_RDWR | O_CREAT, 0600);
  write_much();
  must(pipe(there) == 0 && pipe(back) == 0, "pipe");
  must(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0, "socketpair");
  count("getppid", 1000, nothing);
  count("read 1 B of tmpfs", 1000, read_byte);
  count("read 64 KiB of tmpfs", 100, read_much);
  count("write 64 KiB to tmpfs", 100, write_much);
  count("open, close", 500, open_close);
  count("stat", 500, look);
  count("mmap, touch 16 pages, munmap", 100, touch);
  count("fork, exit, wait", 100, fork_exit);
  count("fork, execve, exit, wait", 100, fork_exec);
  if (fork() == 0) echo();
  count("two pipes, there and back", 300, two_pipes);
  count("AF_UNIX, 4 KiB", 300, socket_page);
  fflush(stdout);
  tcdrain(1);
  reboot(RB_POWER_OFF);
  return 0;
}
