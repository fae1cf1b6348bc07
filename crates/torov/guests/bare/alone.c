// Makes the call that it is told the name of, and those that have to come before it. It has no library, so it makes no other
// calls than these. Ends with 0, with the error of the call that failed, with 200 if an answer is wrong and with 201 if it
// does not know the name.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#define INPUT "abcdefgh"
#define NOWHERE (-100L)

typedef long word;

static word call(word number, word a, word b, word c, word d, word e, word f) {
    register word r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    __asm__ volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return number;
}

static void end(word status) {
    for (;;)
        call(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

static int same(const char *a, const char *b) {
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

// The compiler makes calls of these by itself.
void *memset(void *at, int byte, unsigned long len) {
    for (volatile char *place = at; len; len--)
        *place++ = (char)byte;
    return at;
}

void *memcpy(void *to, const void *from, unsigned long len) {
    volatile char *place = to;
    for (const char *byte = from; len; len--)
        *place++ = *byte++;
    return to;
}

// A call with up to six arguments, which must succeed.
#define PICK(n, a, b, c, d, e, f, ...) must(call(n, (word)(a), (word)(b), (word)(c), (word)(d), (word)(e), (word)(f)))
#define DO(...) PICK(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)
#define RAW(n, a, b, c, d, e, f, ...) call(n, (word)(a), (word)(b), (word)(c), (word)(d), (word)(e), (word)(f))
// The same that must fail, with that error.
#define FAILS(error, ...) want(RAW(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0), -(error))

static word must(word answer) {
    if (answer < 0)
        end(-answer);
    return answer;
}

static void want(word answer, word expected) {
    if (answer != expected)
        end(answer < 0 ? -answer : 200);
}

enum { EAGAIN_ = 11, EINTR_ = 4, ENOTTY_ = 25, ENOSYS_ = 38, ETIMEDOUT_ = 110, SIGNALS = 8 };

static char page[4096] __attribute__((aligned(4096)));
static volatile int began, handled;
static char stack[16384] __attribute__((aligned(16)));

static void handle(int number) { handled = number; }

__attribute__((naked)) static void restore(void) { __asm__ volatile("mov $15, %eax\n\tsyscall"); }

struct action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    unsigned long mask;
};

static void handles(int number) {
    struct action action = {handle, 0x04000000, restore, 0};
    DO(SYS_rt_sigaction, number, &action, 0, SIGNALS);
}

// A thread that says that it began, and ends.
static word start_thread(void) {
    const word flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
    word result = SYS_clone;
    register word r10 __asm__("r10") = 0, r8 __asm__("r8") = 0;
    __asm__ volatile("syscall\n\ttest %%rax, %%rax\n\tjnz 1f\n\tmovl $1, (%%rbx)\n\tmov $60, %%eax\n\txor %%edi, %%edi\n\tsyscall\n1:"
                     : "+a"(result)
                     : "D"(flags), "S"(stack + sizeof stack), "d"(0L), "r"(r10), "r"(r8), "b"(&began)
                     : "rcx", "r11", "memory");
    return result;
}

static word a_socket(void) { return DO(SYS_socket, AF_INET, SOCK_STREAM, 0); }

static struct sockaddr_in own(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = (uint16_t)port, .sin_addr.s_addr = 0x0100007f};
    return address;
}

static int pair[2];

static void a_pair(void) { DO(SYS_socketpair, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair); }

static word an_epoll(void) { return DO(SYS_epoll_create1, 0); }

static int timer;

static void a_timer(void) { DO(SYS_timer_create, CLOCK_MONOTONIC, 0, &timer); }

static void spin(void) {
    for (;;)
        __asm__ volatile("pause");
}

#define IS(call) if (same(name, #call))

static void io(const char *name) {
    char bytes[64];
    struct iovec vector[2] = {{bytes, 2}, {bytes + 8, 3}};
    IS(read) want(DO(SYS_read, 0, bytes, 4), 4);
    else IS(write) want(DO(SYS_write, 0, INPUT, 4), 4);
    else IS(readv) want(DO(SYS_readv, 0, vector, 2), 5);
    else IS(writev) want(DO(SYS_writev, 0, vector, 2), 5);
    else IS(pread64) want(DO(SYS_pread64, 0, bytes, 4, 2), 4);
    else IS(pwrite64) want(DO(SYS_pwrite64, 0, INPUT, 4, 2), 4);
    else IS(preadv) want(DO(SYS_preadv, 0, vector, 2, 1), 5);
    else IS(pwritev) want(DO(SYS_pwritev, 0, vector, 2, 1), 5);
    else IS(sendfile) want(DO(SYS_sendfile, 1, 0, 0, 4), 4);
    else IS(lseek) want(DO(SYS_lseek, 0, 3, 0), 3);
    else IS(close) DO(SYS_close, 0);
    else IS(dup) want(DO(SYS_dup, 0), 3);
    else IS(dup2) want(DO(SYS_dup2, 0, 9), 9);
    else IS(dup3) want(DO(SYS_dup3, 0, 9, O_CLOEXEC), 9);
    else IS(fcntl) {
        DO(SYS_fcntl, 0, F_SETFL, DO(SYS_fcntl, 0, F_GETFL) | O_APPEND);
        DO(SYS_fcntl, 0, F_SETFD, FD_CLOEXEC);
        want(DO(SYS_fcntl, 0, F_DUPFD, 20), 20);
    } else IS(ioctl) {
        int left = 0, none = 0;
        DO(SYS_ioctl, 0, 0x541b, &left);
        want(left, 8);
        DO(SYS_ioctl, 0, 0x5421, &none);
        FAILS(ENOTTY_, SYS_ioctl, 0, 0x5401, bytes);
        FAILS(ENOTTY_, SYS_ioctl, 0, 0x5413, bytes);
    } else IS(ftruncate) DO(SYS_ftruncate, 0, 3);
    else IS(fallocate) DO(SYS_fallocate, 0, 0, 0, 100);
    else IS(fsync) DO(SYS_fsync, 0);
    else IS(fdatasync) DO(SYS_fdatasync, 0);
    else IS(fadvise64) DO(SYS_fadvise64, 0, 0, 0, 2);
    else IS(fstat) {
        struct stat status;
        DO(SYS_fstat, 0, &status);
        want(status.st_size, 8);
    } else return;
    end(0);
}

static void files(const char *name) {
    struct stat status;
    char bytes[1024];
    uint64_t how[3] = {O_RDONLY};
    struct timespec times[2] = {{1, 0}, {2, 0}};
    IS(open) DO(SYS_open, "/data/file", O_RDONLY);
    else IS(creat) DO(SYS_creat, "/data/new", 0600);
    else IS(openat) DO(SYS_openat, NOWHERE, "/data/file", O_RDWR | O_CREAT, 0600);
    else IS(openat2) DO(SYS_openat2, NOWHERE, "/data/file", how, sizeof how);
    else IS(stat) DO(SYS_stat, "/data/file", &status);
    else IS(lstat) DO(SYS_lstat, "/data/link", &status);
    else IS(newfstatat) DO(SYS_newfstatat, NOWHERE, "/data/file", &status, 0);
    else IS(statx) DO(SYS_statx, NOWHERE, "/data/file", 0, 0x7ff, bytes);
    else IS(access) DO(SYS_access, "/data/file", 6);
    else IS(faccessat) DO(SYS_faccessat, NOWHERE, "/data/file", 4);
    else IS(faccessat2) DO(SYS_faccessat2, NOWHERE, "/data/file", 4, 0);
    else IS(getdents64) DO(SYS_getdents64, DO(SYS_openat, NOWHERE, "/data", O_RDONLY | O_DIRECTORY), bytes, sizeof bytes);
    else IS(readlink) want(DO(SYS_readlink, "/data/link", bytes, sizeof bytes), 4);
    else IS(readlinkat) want(DO(SYS_readlinkat, NOWHERE, "/data/link", bytes, sizeof bytes), 4);
    else IS(getcwd) want(DO(SYS_getcwd, bytes, sizeof bytes), 2);
    else IS(chdir) DO(SYS_chdir, "/data/folder");
    else IS(fchdir) DO(SYS_fchdir, DO(SYS_openat, NOWHERE, "/data", O_RDONLY | O_DIRECTORY));
    else IS(fchmod) DO(SYS_fchmod, DO(SYS_openat, NOWHERE, "/data/file", O_RDONLY), 0640);
    else IS(chmod) DO(SYS_chmod, "/data/file", 0640);
    else IS(fchmodat) DO(SYS_fchmodat, NOWHERE, "/data/file", 0640);
    else IS(truncate) DO(SYS_truncate, "/data/file", 2);
    else IS(mkdir) DO(SYS_mkdir, "/data/new", 0700);
    else IS(mkdirat) DO(SYS_mkdirat, NOWHERE, "/data/new", 0700);
    else IS(rmdir) DO(SYS_rmdir, "/data/folder");
    else IS(unlink) DO(SYS_unlink, "/data/file");
    else IS(unlinkat) DO(SYS_unlinkat, NOWHERE, "/data/file", 0);
    else IS(rename) DO(SYS_rename, "/data/file", "/data/new");
    else IS(renameat) DO(SYS_renameat, NOWHERE, "/data/file", NOWHERE, "/data/new");
    else IS(renameat2) DO(SYS_renameat2, NOWHERE, "/data/file", NOWHERE, "/data/new", 1);
    else IS(utimensat) DO(SYS_utimensat, NOWHERE, "/data/file", times, 0);
    else return;
    end(0);
}

static void memory(const char *name) {
    const word both = PROT_READ | PROT_WRITE;
    IS(mmap) {
        char *at = (char *)DO(SYS_mmap, 0, 8192, both, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        at[8191] = 1;
        word file = DO(SYS_openat, NOWHERE, "/data/file", O_RDONLY);
        at = (char *)DO(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE, file, 0);
        want(at[1], 'b');
    } else IS(munmap) DO(SYS_munmap, page, 4096);
    else IS(mprotect) DO(SYS_mprotect, page, 4096, PROT_READ);
    else IS(mremap) DO(SYS_mremap, page, 4096, 4096, 0);
    else IS(msync) DO(SYS_msync, page, 4096, MS_SYNC);
    else IS(madvise) {
        page[0] = 1;
        DO(SYS_madvise, page, 4096, MADV_DONTNEED);
        want(*(volatile char *)page, 0);
    } else IS(brk) {
        char *at = (char *)DO(SYS_brk, 0);
        want(DO(SYS_brk, at + 8192), (word)at + 8192);
        at[8191] = 1;
    } else return;
    end(0);
}

static void times(const char *name) {
    struct timespec soon = {0, 1000}, now = {0, 0};
    word words[32];
    IS(clock_gettime) DO(SYS_clock_gettime, CLOCK_BOOTTIME, &now);
    else IS(clock_getres) DO(SYS_clock_getres, CLOCK_MONOTONIC, &now);
    else IS(gettimeofday) DO(SYS_gettimeofday, words, 0);
    else IS(time) DO(SYS_time, words);
    else IS(nanosleep) DO(SYS_nanosleep, &soon, 0);
    else IS(clock_nanosleep) DO(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &soon, 0);
    else IS(times) DO(SYS_times, words);
    else IS(getrusage) DO(SYS_getrusage, RUSAGE_SELF, words);
    else return;
    end(0);
}

static void waiting(const char *name) {
    struct timespec soon = {0, 1000};
    struct pollfd polled = {.fd = 0, .events = POLLIN};
    struct epoll_event event = {.events = EPOLLIN};
    uint64_t set[16] = {1}, clock[4] = {0, 0, 3600, 0};
    static uint32_t words[2] = {7, 7};
    IS(poll) want(DO(SYS_poll, &polled, 1, 1000), 1);
    else IS(ppoll) want(DO(SYS_ppoll, &polled, 1, &soon, 0, 0), 1);
    else IS(select) want(DO(SYS_select, 1, set, 0, 0, 0), 1);
    else IS(pselect6) want(DO(SYS_pselect6, 1, set, 0, 0, &soon, 0), 1);
    else IS(pipe) DO(SYS_pipe, pair);
    else IS(pipe2) DO(SYS_pipe2, pair, O_CLOEXEC);
    else IS(eventfd) DO(SYS_eventfd, 3);
    else IS(eventfd2) DO(SYS_eventfd2, 3, 0);
    else IS(timerfd_create) DO(SYS_timerfd_create, CLOCK_MONOTONIC, 0);
    else IS(timerfd_settime) DO(SYS_timerfd_settime, DO(SYS_timerfd_create, CLOCK_MONOTONIC, 0), 0, clock, 0);
    else IS(timerfd_gettime) DO(SYS_timerfd_gettime, DO(SYS_timerfd_create, CLOCK_MONOTONIC, 0), clock);
    else IS(epoll_create) DO(SYS_epoll_create, 1);
    else IS(epoll_create1) an_epoll();
    else IS(epoll_ctl) DO(SYS_epoll_ctl, an_epoll(), EPOLL_CTL_ADD, 1, &event);
    else IS(epoll_wait) want(DO(SYS_epoll_wait, an_epoll(), &event, 1, 1), 0);
    else IS(epoll_pwait) want(DO(SYS_epoll_pwait, an_epoll(), &event, 1, 1, 0, 0), 0);
    else IS(futex) {
        want(DO(SYS_futex, words, FUTEX_WAKE, 1), 0);
        FAILS(EAGAIN_, SYS_futex, words, FUTEX_WAIT, 6, 0);
        FAILS(ETIMEDOUT_, SYS_futex, words, FUTEX_WAIT, 7, &soon);
        want(DO(SYS_futex, words, FUTEX_CMP_REQUEUE, 1, 1, words + 1, 7), 0);
    } else IS(membarrier) {
        want(DO(SYS_membarrier, 0, 0, 0) & 8, 8);
        DO(SYS_membarrier, 16, 0, 0);
        DO(SYS_membarrier, 8, 0, 0);
    } else IS(sched_yield) DO(SYS_sched_yield, 0);
    else return;
    end(0);
}

static void sockets(const char *name) {
    char bytes[128];
    unsigned len = sizeof bytes;
    struct iovec vector = {bytes, 4};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    struct sockaddr_in any = own(0);
    int on = 1;
    IS(socket) a_socket();
    else IS(socketpair) a_pair();
    else IS(bind) DO(SYS_bind, a_socket(), &any, sizeof any);
    else IS(connect) {
        struct sockaddr_in other = own(9);
        DO(SYS_connect, DO(SYS_socket, AF_INET, SOCK_DGRAM, 0), &other, sizeof other);
    } else IS(listen) DO(SYS_listen, a_socket(), 1);
    else if (same(name, "accept") || same(name, "accept4")) {
        word listener = a_socket(), number = same(name, "accept") ? SYS_accept : SYS_accept4;
        DO(SYS_bind, listener, &any, sizeof any);
        DO(SYS_listen, listener, 1);
        len = sizeof any;
        DO(SYS_getsockname, listener, &any, &len);
        DO(SYS_connect, a_socket(), &any, sizeof any);
        DO(number, listener, 0, 0, 0);
    } else IS(shutdown) a_pair(), DO(SYS_shutdown, pair[0], SHUT_RDWR);
    else IS(getsockname) DO(SYS_getsockname, a_socket(), bytes, &len);
    else IS(getpeername) a_pair(), DO(SYS_getpeername, pair[0], bytes, &len);
    else IS(sendto) a_pair(), want(DO(SYS_sendto, pair[0], bytes, 4, 0, 0, 0), 4);
    else IS(recvfrom) a_pair(), FAILS(EAGAIN_, SYS_recvfrom, pair[0], bytes, 4, 0, 0, 0);
    else IS(sendmsg) a_pair(), want(DO(SYS_sendmsg, pair[0], &message, 0), 4);
    else IS(recvmsg) a_pair(), FAILS(EAGAIN_, SYS_recvmsg, pair[0], &message, 0);
    else IS(setsockopt) DO(SYS_setsockopt, a_socket(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    else IS(getsockopt) DO(SYS_getsockopt, a_socket(), SOL_SOCKET, SO_KEEPALIVE, bytes, &len);
    else return;
    end(0);
}

static void signals(const char *name) {
    uint64_t set = 1 << (SIGUSR1 - 1), none = 0;
    struct timespec soon = {0, 1000};
    struct {
        int number, error, code, gap;
        word rest[14];
    } info = {SIGCHLD, 0, -1, 0, {0}};
    IS(rt_sigaction) handles(SIGUSR1);
    else if (same(name, "signalfd") || same(name, "signalfd4")) {
        char told[128];
        word number = same(name, "signalfd") ? SYS_signalfd : SYS_signalfd4;
        DO(SYS_rt_sigprocmask, 0, &set, 0, SIGNALS);
        word fd = DO(number, -1, &set, SIGNALS, 0);
        DO(SYS_kill, 2, SIGUSR1);
        want(DO(SYS_read, fd, told, sizeof told), sizeof told);
        want(told[0], SIGUSR1);
    }
    else IS(rt_sigprocmask) DO(SYS_rt_sigprocmask, 0, &set, &none, SIGNALS);
    else IS(rt_sigpending) DO(SYS_rt_sigpending, &set, SIGNALS);
    else IS(rt_sigsuspend) {
        handles(SIGUSR1);
        DO(SYS_rt_sigprocmask, 0, &set, 0, SIGNALS);
        DO(SYS_kill, 2, SIGUSR1);
        FAILS(EINTR_, SYS_rt_sigsuspend, &none, SIGNALS);
        want(handled, SIGUSR1);
    } else IS(rt_sigtimedwait) FAILS(EAGAIN_, SYS_rt_sigtimedwait, &set, 0, &soon, SIGNALS);
    else IS(rt_sigreturn) {
        handles(SIGUSR1);
        DO(SYS_kill, 2, SIGUSR1);
        want(handled, SIGUSR1);
    } else IS(pause) {
        handles(SIGALRM);
        word half[4] = {0, 0, 0, 50000};
        DO(SYS_setitimer, 0, half, 0);
        // Should it have gone off before, the next one ends the call.
        half[1] = 50000;
        DO(SYS_setitimer, 0, half, 0);
        FAILS(EINTR_, SYS_pause, 0);
    } else IS(kill) DO(SYS_kill, 2, SIGCHLD);
    else IS(tkill) DO(SYS_tkill, 2, SIGCHLD);
    else IS(tgkill) DO(SYS_tgkill, 2, 2, SIGCHLD);
    else IS(rt_sigqueueinfo) DO(SYS_rt_sigqueueinfo, 2, SIGCHLD, &info);
    else IS(rt_tgsigqueueinfo) DO(SYS_rt_tgsigqueueinfo, 2, 2, SIGCHLD, &info);
    else IS(sigaltstack) {
        word wanted[3] = {(word)stack, 0, sizeof stack};
        DO(SYS_sigaltstack, wanted, 0);
    } else return;
    end(0);
}

// Timers that are set go off, which ends the program by SIGALRM.
static void timers(const char *name) {
    word soon[4] = {0, 0, 0, 1000};
    IS(alarm) {
        DO(SYS_alarm, 1000);
        want(DO(SYS_alarm, 0), 1000);
    } else IS(getitimer) DO(SYS_getitimer, 0, soon);
    else IS(setitimer) {
        DO(SYS_setitimer, 0, soon, 0);
        spin();
    } else IS(timer_create) a_timer();
    else IS(timer_settime) {
        a_timer();
        DO(SYS_timer_settime, timer, 0, soon, 0);
        spin();
    } else IS(timer_gettime) a_timer(), DO(SYS_timer_gettime, timer, soon);
    else IS(timer_getoverrun) a_timer(), DO(SYS_timer_getoverrun, timer);
    else IS(timer_delete) a_timer(), DO(SYS_timer_delete, timer);
    else return;
    end(0);
}

static void process(const char *name) {
    char bytes[512];
    word words[16] = {0};
    IS(exit) call(SYS_exit, 0, 0, 0, 0, 0, 0);
    else IS(exit_group) end(0);
    else IS(arch_prctl) DO(SYS_arch_prctl, 0x1002, bytes), DO(SYS_arch_prctl, 0x1003, words);
    else IS(set_tid_address) want(DO(SYS_set_tid_address, words), 2);
    else IS(set_robust_list) DO(SYS_set_robust_list, words, 24);
    else IS(clone) {
        must(start_thread());
        while (!began)
            __asm__ volatile("pause");
    } else IS(clone3) FAILS(ENOSYS_, SYS_clone3, words, 88);
    else IS(rseq) FAILS(ENOSYS_, SYS_rseq, words, 32, 0, 0);
    else IS(getpid) want(DO(SYS_getpid, 0), 2);
    else IS(getpgrp) want(DO(SYS_getpgrp, 0), 2);
    else IS(gettid) want(DO(SYS_gettid, 0), 2);
    else IS(getppid) want(DO(SYS_getppid, 0), 1);
    else IS(getuid) DO(SYS_getuid, 0);
    else IS(geteuid) DO(SYS_geteuid, 0);
    else IS(getgid) DO(SYS_getgid, 0);
    else IS(getegid) DO(SYS_getegid, 0);
    else IS(getpgid) want(DO(SYS_getpgid, 0), 2);
    else IS(getsid) want(DO(SYS_getsid, 0), 2);
    else IS(setuid) DO(SYS_setuid, 1000);
    else IS(setgid) DO(SYS_setgid, 1000);
    else IS(getgroups) want(DO(SYS_getgroups, 0, 0), 0);
    else IS(umask) DO(SYS_umask, 077);
    else IS(uname) DO(SYS_uname, bytes);
    else IS(sysinfo) DO(SYS_sysinfo, bytes);
    else IS(getrandom) want(DO(SYS_getrandom, bytes, 16, 0), 16);
    else IS(prlimit64) DO(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, words);
    else IS(getrlimit) DO(SYS_getrlimit, RLIMIT_NOFILE, words);
    else IS(sched_getaffinity) DO(SYS_sched_getaffinity, 0, 8, words);
    else IS(sched_setaffinity) words[0] = -1, DO(SYS_sched_setaffinity, 0, 8, words);
    else IS(getcpu) DO(SYS_getcpu, bytes, bytes + 8, 0);
    else IS(prctl) DO(SYS_prctl, 16, bytes);
    else return;
    end(0);
}

__attribute__((used)) static void begin(word *stack) {
    const char *name = stack[0] > 1 ? (const char *)stack[2] : "";
    io(name);
    files(name);
    memory(name);
    times(name);
    waiting(name);
    sockets(name);
    signals(name);
    timers(name);
    process(name);
    end(201);
}

__attribute__((naked)) void _start(void) { __asm__ volatile("mov %rsp, %rdi\n\tand $-16, %rsp\n\tcall begin"); }
