// Does one thing that a program must not, or that is hard to get right, and says what came of it.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define CHECK(what) ((what) ? (void)0 : (printf("line %d: %s (errno %d)\n", __LINE__, #what, errno), exit(1)))

static volatile int zero;

static char *page(int prot) { return mmap(NULL, 4096, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }

// Pointers at every edge: all must be EFAULT, and the bytes beside them untouched.
static void pointers(void) {
    char *at = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(at + 4096, 4096);
    int ends[2];
    CHECK(pipe(ends) == 0 && write(ends[1], "some", 4) == 4);
    uintptr_t bad[] = {0, 8, 4095, (uintptr_t)at + 4096, (uintptr_t)at + 8191, (uintptr_t)at + 4090, 0x7ffffffff000,
                       0x7fffffffffff, 0x800000000000, 0xffff800000000000, 0xffff800000002000, UINTPTR_MAX, UINTPTR_MAX - 8};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(syscall(SYS_write, ends[1], bad[i], 16) == -1 && errno == EFAULT);
        CHECK(syscall(SYS_getrandom, bad[i], 16, 0) == -1 && errno == EFAULT);
        CHECK(syscall(SYS_uname, bad[i]) == -1 && errno == EFAULT);
        CHECK(syscall(SYS_clock_gettime, 0, bad[i]) == -1 && errno == EFAULT);
        CHECK(syscall(SYS_read, ends[0], bad[i], 16) == -1 && errno == EFAULT);
        struct iovec vector[2] = {{at, 8}, {(void *)bad[i], 16}};
        CHECK(syscall(SYS_writev, ends[1], vector, 2) == -1 && errno == EFAULT);
        CHECK(syscall(SYS_writev, ends[1], bad[i], 2) == -1 && errno == EFAULT);
    }
    CHECK(syscall(SYS_write, ends[1], at, -1L) == -1 && errno == EFAULT);
    char *readable = page(PROT_READ);
    CHECK(syscall(SYS_getrandom, readable, 16, 0) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_read, ends[0], readable, 16) == -1 && errno == EFAULT && *readable == 0);
    char *none = page(PROT_NONE);
    CHECK(syscall(SYS_write, ends[1], none, 1) == -1 && errno == EFAULT);
}

// No number leads to a descriptor of the monitor.
static void descriptors(void) {
    for (int fd = 3; fd < 1024; fd++) {
        char byte;
        CHECK(syscall(SYS_ioctl, fd, 0xae01, 0) == -1 && errno == EBADF);
        CHECK(syscall(SYS_read, fd, &byte, 1) == -1 && errno == EBADF);
        CHECK(syscall(SYS_dup, fd) == -1 && errno == EBADF);
        CHECK(syscall(SYS_close, fd) == -1 && errno == EBADF);
    }
    for (long request = 0xae00; request < 0xaeff; request++)
        CHECK(syscall(SYS_ioctl, 1, request, 0) == -1);
}

// The ways out of a mount whose neighbours are called `secret` and which holds links to them.
static void escapes(void) {
    const char *paths[] = {"/data/../secret", "/data/../../etc/passwd", "/data/out", "/data/absolute", "/data/up/secret",
                           "/data/up/../secret", "/secret", "/etc/passwd", "/proc/self/exe", "/proc/self/fd/0",
                           "/data/magic", "/dev/kvm", "/dev/mem", "../secret", "data/../../secret"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct stat status;
        CHECK(open(paths[i], O_RDONLY) == -1);
        CHECK(stat(paths[i], &status) == -1);
        CHECK(rename(paths[i], "/data/stolen") == -1 || strcmp(paths[i], "/data/out") == 0 ||
              strcmp(paths[i], "/data/absolute") == 0 || strcmp(paths[i], "/data/magic") == 0);
    }
    int folder = open("/data", O_RDONLY | O_DIRECTORY);
    CHECK(folder >= 0);
    CHECK(openat(folder, "../secret", O_RDONLY) == -1);
    CHECK(openat(folder, "inside", O_RDONLY) >= 0);
}

// What was taken away must be gone at once, on every processor.
static char *volatile target;
static atomic_int running, stop;
static atomic_long touched;

static void *toucher(void *argument) {
    (void)argument;
    atomic_fetch_add(&running, 1);
    while (!stop) {
        atomic_fetch_add((atomic_long *)(target + 64), 1);
        atomic_fetch_add(&touched, 1);
    }
    return NULL;
}

// Other threads write to a page while its right to be written is taken away: they must end the program. Should they go
// on, the page changes, and the program ends with 1.
static void take_away(int threads, int unmap) {
    pthread_t thread;
    target = page(PROT_READ | PROT_WRITE);
    for (int i = 0; i < threads; i++) CHECK(pthread_create(&thread, NULL, toucher, NULL) == 0);
    while (running < threads || (threads > 0 && touched < 1000)) {}
    puts("revoking");
    fflush(stdout);
    if (unmap) CHECK(munmap(target, 4096) == 0);
    else CHECK(mprotect(target, 4096, PROT_READ) == 0);
    if (threads == 0) *target = 1;
    long before = touched;
    while (touched < before + 1000000) {}
    exit(1);
}

// Memory that was given back reads as zero when it comes again, and has the rights that it was asked with.
static void reuse(void) {
    for (int round = 0; round < 200; round++) {
        size_t len = (1 + round % 7) * 4096;
        char *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(at != MAP_FAILED);
        for (size_t i = 0; i < len; i += 512) CHECK(at[i] == 0);
        memset(at, 0x55, len);
        if (round % 3 == 0) {
            CHECK(mprotect(at, len, PROT_READ) == 0 && at[len - 1] == 0x55);
            CHECK(mprotect(at, len, PROT_READ | PROT_WRITE) == 0);
            at[0] = 1;
        }
        if (round % 5 == 0) {
            CHECK(madvise(at, len, MADV_DONTNEED) == 0 && at[0] == 0 && at[len - 1] == 0);
        }
        if (round % 2) {
            char *moved = mremap(at, len, len + 40960, MREMAP_MAYMOVE);
            CHECK(moved != MAP_FAILED && moved[len + 40959] == 0);
            at = moved;
            len += 40960;
        }
        CHECK(munmap(at, len) == 0);
    }
    // To a place of its own choice, with what a reader without rights could not see.
    char *from = page(PROT_READ | PROT_WRITE), *to = page(PROT_READ | PROT_WRITE);
    strcpy(from, "moved");
    CHECK(mprotect(from, 4096, PROT_NONE) == 0 && mremap(from, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
    CHECK(mprotect(to, 4096, PROT_READ) == 0 && !strcmp(to, "moved") && msync(to, 4096, MS_SYNC) == 0);
    CHECK(msync(from, 4096, MS_SYNC) == -1 && errno == ENOMEM);
    CHECK(mremap(to, 8192, 12288, 0) == MAP_FAILED && errno == EFAULT);
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
}

// A second thread rewrites a path and a vector while calls use them: nothing but what was judged is used. The profile lets
// it open `inside`, and not what lies beside it.
static char raced[64];
// What was written so far is there for others, and not left out because more is written.
#define SEEN __asm__ volatile("" ::: "memory")
static struct iovec raced_vector;

static void *flipper(void *argument) {
    (void)argument;
    running = 1;
    while (!stop) {
        memcpy(raced, "/data/inside", 13);
        raced_vector = (struct iovec){raced, 4};
        SEEN;
        memcpy(raced, "/data/hidden", 13);
        SEEN;
        memcpy(raced, "/data/../secret", 16);
        raced_vector = (struct iovec){(void *)0xffff800000000000, UINTPTR_MAX};
        SEEN;
    }
    return NULL;
}

static void races(void) {
    pthread_t thread;
    int ends[2], opened = 0, refused = 0, put_some = 0, put_none = 0;
    char bytes[64];
    CHECK(pipe(ends) == 0);
    CHECK(pthread_create(&thread, NULL, flipper, NULL) == 0);
    while (!running) {}
    // Until it has come out often enough either way.
    for (int i = 0; i < 4000 || opened < 100 || refused < 100 || put_some < 100 || put_none < 100; i++) {
        int fd = open(raced, O_RDONLY);
        refused += fd < 0;
        if (fd >= 0) {
            ssize_t got = read(fd, bytes, sizeof bytes);
            CHECK(got >= 6 && memcmp(bytes, "inside", 6) == 0);
            close(fd);
            opened++;
        }
        ssize_t put = syscall(SYS_writev, ends[1], &raced_vector, 1);
        CHECK(put == 4 || put == -1);
        put_some += put > 0;
        put_none += put < 0;
        if (put > 0) CHECK(read(ends[0], bytes, put) == put);
    }
    stop = 1;
    pthread_join(thread, NULL);
}

// Makes every call that the monitor has a handler for, in a way that must work: under its filter, none may be missing.
static void handlers(void) {
    struct stat status;
    struct timespec times[2] = {{1, 0}, {2, 0}}, now;
    struct pollfd polled = {.events = POLLIN};
    char bytes[256], statx_bytes[256];
    int ends[2], fd, folder;
    fd_set set;
    socklen_t len = sizeof bytes;
    CHECK((folder = syscall(SYS_open, "/data", O_RDONLY | O_DIRECTORY)) >= 0);
    CHECK((fd = syscall(SYS_creat, "/data/one", 0644)) >= 0 && syscall(SYS_close, fd) == 0);
    CHECK((fd = openat(folder, "one", O_RDWR)) >= 0);
    CHECK(write(fd, "abc", 3) == 3 && pwrite(fd, "d", 1, 3) == 1 && pread(fd, bytes, 4, 0) == 4);
    struct iovec vector = {bytes, 2};
    CHECK(lseek(fd, 0, SEEK_SET) == 0 && readv(fd, &vector, 1) == 2 && writev(fd, &vector, 1) == 2);
    CHECK(preadv(fd, &vector, 1, 0) == 2 && pwritev(fd, &vector, 1, 0) == 2);
    CHECK(ftruncate(fd, 2) == 0 && fsync(fd) == 0 && fdatasync(fd) == 0);
    CHECK(syscall(SYS_fstat, fd, &status) == 0 && status.st_size == 2);
    CHECK(syscall(SYS_stat, "/data/one", &status) == 0 && syscall(SYS_lstat, "/data/one", &status) == 0);
    CHECK(syscall(SYS_statx, folder, "one", 0, 0x7ff, statx_bytes) == 0);
    CHECK(access("/data/one", R_OK) == 0 && faccessat(folder, "one", R_OK, 0) == 0);
    CHECK(utimensat(folder, "one", times, 0) == 0 && fstat(fd, &status) == 0 && status.st_mtime == 2);
    CHECK(mkdir("/data/folder", 0755) == 0 && mkdirat(folder, "other", 0755) == 0 && rmdir("/data/folder") == 0);
    CHECK(syscall(SYS_rename, "/data/one", "/data/two") == 0 && renameat(folder, "two", folder, "other/three") == 0);
    CHECK(syscall(SYS_getdents64, folder, bytes, sizeof bytes) > 0);
    CHECK(readlink("/data/link", bytes, sizeof bytes) == 10);
    CHECK(unlink("/data/other/three") == 0 && unlinkat(folder, "other", AT_REMOVEDIR) == 0);
    CHECK(chdir("/data") == 0 && fchdir(folder) == 0 && getcwd(bytes, sizeof bytes) && strcmp(bytes, "/data") == 0);
    CHECK((fd = dup(fd)) >= 0 && dup2(fd, 40) == 40 && dup3(fd, 41, O_CLOEXEC) == 41 && fcntl(41, F_GETFD) == 1);
    CHECK(fcntl(fd, F_GETFL) >= 0 && fcntl(fd, F_SETFL, O_APPEND) == 0 && fcntl(fd, F_DUPFD, 50) == 50);
    CHECK(pipe(ends) == 0 && write(ends[1], "x", 1) == 1);
    polled.fd = ends[0];
    CHECK(poll(&polled, 1, 0) == 1 && ppoll(&polled, 1, &times[0], NULL) == 1 && polled.revents == POLLIN);
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    CHECK(select(ends[0] + 1, &set, NULL, NULL, NULL) == 1 && FD_ISSET(ends[0], &set));
    CHECK(pselect(ends[0] + 1, &set, NULL, NULL, &times[0], NULL) == 1);
    CHECK(ioctl(ends[0], FIONREAD, bytes) == 0 && bytes[0] == 1);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0x1234567890abcdef}, got[4];
    int watch = epoll_create1(0), counter = eventfd(1, 0);
    CHECK(watch >= 0 && counter >= 0 && epoll_ctl(watch, EPOLL_CTL_ADD, counter, &event) == 0);
    CHECK(epoll_wait(watch, got, 4, -1) == 1 && got[0].events == EPOLLIN && got[0].data.u64 == 0x1234567890abcdef);
    CHECK(read(counter, bytes, 8) == 8 && epoll_wait(watch, got, 4, 0) == 0);
    CHECK(epoll_ctl(watch, EPOLL_CTL_DEL, counter, NULL) == 0 && epoll_ctl(watch, EPOLL_CTL_DEL, counter, NULL) == -1);
    struct itimerspec soon = {.it_value.tv_nsec = 1}, setting;
    uint64_t times_off;
    int alarm_fd = timerfd_create(CLOCK_MONOTONIC, 0);
    CHECK(alarm_fd >= 0 && timerfd_settime(alarm_fd, 0, &soon, NULL) == 0);
    CHECK(read(alarm_fd, &times_off, 8) == 8 && times_off == 1 && timerfd_gettime(alarm_fd, &setting) == 0);
    CHECK(setting.it_value.tv_nsec == 0);
    int source = open("/data/source", O_RDWR | O_CREAT, 0600);
    off_t at = 2;
    CHECK(source >= 0 && write(source, "abcdef", 6) == 6 && sendfile(ends[1], source, &at, 3) == 3 && at == 5);
    CHECK(read(ends[0], bytes, 8) == 4 && !memcmp(bytes, "xcde", 4) && write(ends[1], "x", 1) == 1);
    CHECK(fallocate(source, 0, 0, 100) == 0 && fchmod(source, 0640) == 0 && fstat(source, &status) == 0);
    CHECK(status.st_size == 100 && (status.st_mode & 07777) == 0640 && unlink("/data/source") == 0);
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, source, 0) == MAP_FAILED && errno == ENODEV);
    CHECK(syscall(SYS_membarrier, 16, 0, 0) == 0 && syscall(SYS_membarrier, 8, 0, 0) == 0);
    CHECK(syscall(SYS_membarrier, 0, 0, 0) & 8 && syscall(SYS_membarrier, 64, 0, 0) == -1);
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0 && clock_getres(CLOCK_MONOTONIC, &now) == 0);
    now = (struct timespec){0, 1};
    CHECK(nanosleep(&now, NULL) == 0 && getrandom(bytes, 16, 0) == 16 && sched_yield() == 0);
    CHECK((fd = socket(AF_INET, SOCK_STREAM, 0)) >= 0 && listen(fd, 1) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)bytes, &len) == 0 && len == sizeof(struct sockaddr_in));
    ((struct sockaddr_in *)bytes)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int client = socket(AF_INET, SOCK_STREAM, 0), on = 1, server;
    CHECK(connect(client, (struct sockaddr *)bytes, len) == 0 && (server = accept(fd, NULL, NULL)) >= 0);
    CHECK(setsockopt(server, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) == 0);
    len = sizeof on;
    CHECK(getsockopt(server, SOL_SOCKET, SO_KEEPALIVE, &on, &len) == 0 && on == 1);
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    CHECK(send(server, "ab", 2, 0) == 2 && recv(client, bytes, 2, 0) == 2);
    CHECK(sendmsg(server, &message, 0) == 2 && recvmsg(client, &message, 0) == 2);
    len = sizeof bytes;
    CHECK(getpeername(client, (struct sockaddr *)bytes, &len) == 0 && shutdown(server, SHUT_RDWR) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
}

// Writes that move nothing because a pipe is full, or because a signal came, are no output.
static void unwritten(void) {
    static char bytes[1 << 16];
    int ends[2];
    CHECK(pipe2(ends, O_NONBLOCK) == 0 && write(ends[1], bytes, sizeof bytes) == sizeof bytes);
    for (int i = 0; i < 1000; i++) CHECK(write(ends[1], bytes, sizeof bytes) == -1 && errno == EAGAIN);
    struct iovec vector = {bytes, sizeof bytes};
    for (int i = 0; i < 1000; i++) CHECK(writev(ends[1], &vector, 1) == -1 && errno == EAGAIN);
}

// A lock whose owner ends while it holds it goes to the next with a word of warning.
static pthread_mutex_t lock;

static void *die_with_it(void *argument) {
    (void)argument;
    CHECK(pthread_mutex_lock(&lock) == 0);
    running = 1;
    while (!stop) sched_yield();
    return NULL;
}

static void robust(void) {
    pthread_mutexattr_t kind;
    pthread_t thread;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&lock, &kind);
    for (int round = 0; round < 2; round++) {
        stop = running = 0;
        CHECK(pthread_create(&thread, NULL, die_with_it, NULL) == 0);
        while (!running) sched_yield();
        stop = 1;
        // It waits, or finds the owner dead already.
        CHECK(pthread_mutex_lock(&lock) == EOWNERDEAD && pthread_mutex_consistent(&lock) == 0);
        CHECK(pthread_mutex_unlock(&lock) == 0 && pthread_join(thread, NULL) == 0);
    }
}

// Another thread writes rubbish over the slots that this thread shares with the monitor.
static void *scribbler(void *argument) {
    volatile uint32_t *words = argument;
    uint32_t chance = 1;
    while (!stop) {
        chance = chance * 1664525 + 1013904223;
        words[(chance >> 16) % 64] = chance >> 28 < 12 ? (chance >> 24) % 6 : chance;
    }
    return NULL;
}

static void scribble(long count) {
    pthread_t thread;
    // Behind the shim, which lies below the first page of the program.
    CHECK(pthread_create(&thread, NULL, scribbler, (void *)0x3fe040) == 0);
    for (long at = 0; at < count; at++) {
        if (write(1, "x", 1) == 12345) puts("never");
        if (lseek(1, 0, SEEK_CUR) == 12345) puts("never");
    }
    stop = 1;
    pthread_join(thread, NULL);
    _exit(0);
}

// A call that is denied is denied however it is made: by the library, often enough to be patched and to go by the ring, by
// an instruction of its own, from a thread, with rubbish in the upper half of its number, and by the numbers of x32.
static void *spell(void *argument) {
    (void)argument;
    for (int i = 0; i < 3000; i++) {
        // The library looks for no error here.
        CHECK(getppid() == -EPERM);
        CHECK(getpid() == 2);
        long bare = SYS_getppid, wide = SYS_getppid | 1L << 32, x32 = SYS_getppid | 0x40000000;
        __asm__ volatile("syscall" : "+a"(bare) :: "rcx", "r11", "memory");
        CHECK(bare == -EPERM);
        if (i % 100) continue;
        __asm__ volatile("syscall" : "+a"(wide) :: "rcx", "r11", "memory");
        __asm__ volatile("syscall" : "+a"(x32) :: "rcx", "r11", "memory");
        CHECK(wide == -EPERM && x32 == -EPERM);
    }
    return NULL;
}

// A handler that uses the wide registers leaves those of the program as they were.
static void clobber(int signal) {
    (void)signal;
    __asm__ volatile("vpxor %%ymm15, %%ymm15, %%ymm15" ::: "memory");
}

static void wide(void) {
    static const long before[4] = {1, 2, 3, 4};
    long after[4] = {0};
    if (!__builtin_cpu_supports("avx2")) return;
    CHECK(signal(SIGUSR1, clobber) != SIG_ERR);
    long result = SYS_tkill;
    __asm__ volatile("vmovdqu (%2), %%ymm15\n\tsyscall\n\tvmovdqu %%ymm15, (%3)\n\tvzeroupper"
                     : "+a"(result)
                     : "D"((long)gettid()), "r"(before), "r"(after), "S"((long)SIGUSR1)
                     : "rcx", "r11", "memory");
    CHECK(result == 0 && !memcmp(before, after, sizeof after));
}

// Uses more stack than there is.
__attribute__((noinline)) static int deep(int level) {
    volatile char frame[4096];
    frame[0] = (char)level;
    return level == 1 << 20 ? 0 : deep(level + 1) + frame[0];
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    long number = argc > 2 ? atol(argv[2]) : 0;
    if (!strcmp(what, "exit")) return number;
    if (!strcmp(what, "abort")) abort();
    if (!strcmp(what, "null")) *(volatile char *)NULL = 1;
    if (!strcmp(what, "divide")) return argc / zero;
    if (!strcmp(what, "illegal")) __builtin_trap();
    if (!strcmp(what, "breakpoint")) __asm__ volatile("int3");
    if (!strcmp(what, "privileged")) __asm__ volatile("hlt");
    if (!strcmp(what, "port")) __asm__ volatile("out %al, $0x10");
    if (!strcmp(what, "kernel")) return *(volatile char *)0xffff800000001000;
    if (!strcmp(what, "stub")) ((void (*)(void))0xffff800000000000)();
    if (!strcmp(what, "code")) *(volatile char *)main = 0;
    if (!strcmp(what, "data")) {
        static char code[] = {(char)0xc3};
        ((void (*)(void))code)();
    }
    if (!strcmp(what, "stack")) {
        return deep(1);
    }
    if (!strcmp(what, "spin")) for (;;) {}
    if (!strcmp(what, "eat")) for (;;) *(volatile char *)page(PROT_READ | PROT_WRITE) = 1;
    if (!strcmp(what, "chatter")) for (;;) if (write(1, what, 7) != 7) return 9;
    if (!strcmp(what, "call")) return syscall(number) == -1 && errno == EPERM ? 0 : 1;
    if (!strcmp(what, "write")) for (long at = 0; at < number; at++) if (write(1, "abcdefghij" + at % 10, 1) != 1) return 1;
    if (!strcmp(what, "pointers")) pointers();
    if (!strcmp(what, "descriptors")) descriptors();
    if (!strcmp(what, "unwritten")) unwritten();
    if (!strcmp(what, "handlers")) handlers();
    if (!strcmp(what, "escapes")) escapes();
    if (!strcmp(what, "protect")) take_away(number, 0);
    if (!strcmp(what, "unmap")) take_away(number, 1);
    if (!strcmp(what, "scribble")) {
        // Before there is another thread, so that the sites are patched.
        for (int at = 0; at < 8; at++) {
            CHECK(write(1, "x", 1) == 1);
            lseek(1, 0, SEEK_CUR);
        }
        scribble(number);
    }
    if (!strcmp(what, "sealed")) {
        CHECK(munmap((void *)0x3fe000, 4096) == -1 && errno == EPERM);
        CHECK(mprotect((void *)0x3fd000, 4096, PROT_READ | PROT_WRITE) == -1 && errno == EPERM);
        CHECK(mmap((void *)0x3fe000, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED);
        CHECK(madvise((void *)0x3fe000, 4096, MADV_DONTNEED) == -1);
    }
    if (!strcmp(what, "spellings")) {
        pthread_t thread;
        spell(NULL);
        CHECK(pthread_create(&thread, NULL, spell, NULL) == 0 && pthread_join(thread, NULL) == 0);
    }
    if (!strcmp(what, "wide")) wide();
    if (!strcmp(what, "map")) {
        const char *text = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, open("/data/inside", O_RDONLY), 0);
        CHECK(text != MAP_FAILED && !strcmp(text, "inside"));
    }
    if (!strcmp(what, "robust")) robust();
    if (!strcmp(what, "reuse")) reuse();
    if (!strcmp(what, "races")) races();
    puts("ok");
    return 0;
}
