// Makes calls by the million that mean nothing, from several threads at once: the monitor must survive, the program need
// not. `storm THREADS CALLS SEED`: each thread makes CALLS calls, the same for the same seed. What would block for ever is
// interrupted by a watchdog; a thread that cannot be is a failure (status 9), which names the call. The last call of every
// program is a return from a signal that never came.
#define _GNU_SOURCE
#include <netinet/in.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 8, PAGE = 4096, SCRATCH = 16 * PAGE, ARENA = 64 * PAGE, STACK = 16 * PAGE, STACKS = 256, WATCHDOG = 64 };

// The calls that the monitor has handlers for, and what their arguments look like if they are to make sense.
static const struct {
    short number;
    const char *arguments;
} known[] = {
    {SYS_read, "fpl"}, {SYS_write, "fpl"}, {SYS_readv, "fvn"}, {SYS_writev, "fvn"}, {SYS_pread64, "fplo"},
    {SYS_pwrite64, "fplo"}, {SYS_preadv, "fvno"}, {SYS_pwritev, "fvno"}, {SYS_sendfile, "ffzl"}, {SYS_lseek, "fon"},
    {SYS_close, "c"}, {SYS_close, "c"}, {SYS_close, "c"}, {SYS_close, "c"}, {SYS_dup, "f"}, {SYS_dup2, "ff"}, {SYS_dup3, "ffz"}, {SYS_fcntl, "fnn"},
    {SYS_fcntl, "fnf"},
    {SYS_fcntl, "fng"}, {SYS_ioctl, "fip"}, {SYS_open, "sgm"}, {SYS_open, "szm"}, {SYS_creat, "sm"},
    {SYS_openat, "asgm"}, {SYS_openat, "aszm"}, {SYS_openat2, "asvl"}, {SYS_stat, "sp"}, {SYS_lstat, "sp"},
    {SYS_fstat, "fp"}, {SYS_newfstatat, "aspg"}, {SYS_statx, "asgnp"}, {SYS_access, "sn"}, {SYS_faccessat, "asn"},
    {SYS_faccessat2, "asng"}, {SYS_getdents64, "fpl"}, {SYS_readlink, "spl"}, {SYS_readlinkat, "aspl"},
    {SYS_getcwd, "pl"}, {SYS_chdir, "s"}, {SYS_fchdir, "f"}, {SYS_fadvise64, "foln"}, {SYS_ftruncate, "fo"},
    {SYS_fallocate, "fnol"}, {SYS_fchmod, "fm"}, {SYS_mkdir, "sm"}, {SYS_mkdirat, "asm"}, {SYS_rmdir, "s"},
    {SYS_unlink, "s"}, {SYS_unlinkat, "asz"}, {SYS_unlinkat, "asg"}, {SYS_rename, "ss"}, {SYS_renameat, "asas"},
    {SYS_renameat2, "asasn"}, {SYS_utimensat, "astz"}, {SYS_mmap, "zlnggz"}, {SYS_mmap, "zlnnfz"},
    {SYS_mmap, "zlnnzz"}, {SYS_munmap, "zl"}, {SYS_munmap, "zl"}, {SYS_mprotect, "zln"}, {SYS_mprotect, "zln"},
    {SYS_mremap, "zllnz"}, {SYS_mremap, "zllnz"}, {SYS_msync, "zln"}, {SYS_madvise, "zln"}, {SYS_madvise, "zln"},
    {SYS_brk, "z"}, {SYS_clock_gettime, "np"}, {SYS_clock_getres, "np"}, {SYS_gettimeofday, "pz"}, {SYS_time, "p"},
    {SYS_nanosleep, "tp"}, {SYS_clock_nanosleep, "nztp"}, {SYS_times, "p"}, {SYS_getrusage, "zp"},
    {SYS_futex, "pnntpn"}, {SYS_futex, "pnnnpn"}, {SYS_set_robust_list, "pl"}, {SYS_sched_yield, "z"},
    {SYS_clone, "gpppp"}, {SYS_clone, "gpppp"}, {SYS_set_tid_address, "p"}, {SYS_arch_prctl, "gp"}, {SYS_poll, "vnn"},
    {SYS_ppoll, "pntzl"}, {SYS_select, "nppzt"}, {SYS_pselect6, "npppt"}, {SYS_pipe, "p"}, {SYS_pipe2, "pg"},
    {SYS_eventfd, "n"}, {SYS_eventfd2, "ng"}, {SYS_timerfd_create, "ng"}, {SYS_timerfd_create, "nz"},
    {SYS_timerfd_settime, "fntp"}, {SYS_timerfd_gettime, "fp"}, {SYS_epoll_create, "n"}, {SYS_epoll_create1, "z"},
    {SYS_epoll_ctl, "fnfp"}, {SYS_epoll_ctl, "fnfp"}, {SYS_epoll_wait, "fpnn"}, {SYS_epoll_pwait, "fpnn"},
    {SYS_socket, "dyz"}, {SYS_socket, "dyg"}, {SYS_socketpair, "uyzp"}, {SYS_bind, "fkb"}, {SYS_connect, "fkb"},
    {SYS_listen, "fn"}, {SYS_accept, "fpp"}, {SYS_accept4, "fppg"}, {SYS_shutdown, "fn"}, {SYS_getsockname, "fpp"},
    {SYS_getpeername, "fpp"}, {SYS_sendto, "fplgkb"}, {SYS_sendto, "fplzzz"}, {SYS_recvfrom, "fplgpp"},
    {SYS_sendmsg, "fvg"}, {SYS_recvmsg, "fvg"}, {SYS_setsockopt, "fhnpn"}, {SYS_getsockopt, "fhnpp"},
    {SYS_rt_sigaction, "nppl"}, {SYS_rt_sigprocmask, "nppb"}, {SYS_rt_sigpending, "pn"}, {SYS_rt_sigsuspend, "pn"},
    {SYS_rt_sigtimedwait, "pptb"}, {SYS_rt_sigqueueinfo, "nnp"}, {SYS_rt_tgsigqueueinfo, "nnnp"},
    {SYS_sigaltstack, "pp"}, {SYS_pause, "z"}, {SYS_kill, "nn"}, {SYS_tkill, "nn"}, {SYS_tgkill, "nnn"},
    {SYS_alarm, "n"}, {SYS_setitimer, "ztp"}, {SYS_getitimer, "zp"}, {SYS_timer_create, "nzp"},
    {SYS_timer_settime, "nntp"}, {SYS_timer_gettime, "np"}, {SYS_timer_getoverrun, "n"}, {SYS_timer_delete, "n"},
    {SYS_getpid, "z"}, {SYS_gettid, "z"}, {SYS_getppid, "z"}, {SYS_getuid, "z"}, {SYS_uname, "p"}, {SYS_sysinfo, "p"},
    {SYS_getrandom, "plz"}, {SYS_prlimit64, "znpp"}, {SYS_getrlimit, "np"}, {SYS_sched_getaffinity, "zlp"},
    {SYS_getcpu, "pp"}, {SYS_prctl, "np"}, {SYS_umask, "m"}, {SYS_membarrier, "nz"}, {SYS_clone3, "pl"},
    {SYS_rseq, "pl"}, {SYS_fork, "z"}, {SYS_execve, "spp"}};

// What pointers point to: structures that are almost right, which calls may overwrite.
static char *scratch;
// Memory that calls may map anew, or take away.
static char *arena;
// What must stay as it is: masks that never hold the watchdog's signal, and actions whose handlers are real.
static const uint64_t masks[] = {0, ~0ull >> 1, 0x7fff, 1 << 13};
static void handler(int signal) { (void)signal; }
enum { SA_RESTORER = 0x4000000 };
void restorer(void);
__asm__(".text\n\t.globl restorer\nrestorer: mov $15, %eax\nsyscall");
static const uint64_t actions[6][4] = {{(uint64_t)handler, SA_RESTORER, (uint64_t)restorer, 0},
                                 {(uint64_t)handler, SA_RESTORER | SA_RESTART, (uint64_t)restorer, 0x7fff},
                                 {(uint64_t)handler, SA_RESTORER | SA_SIGINFO | SA_NODEFER, (uint64_t)restorer, 0},
                                 {1, 0, 0, 0}, {1, SA_RESTORER, 0, ~0ull >> 1},
                                 {(uint64_t)handler, SA_RESTORER | SA_ONSTACK, (uint64_t)restorer, 0}};

static struct worker {
    pthread_t thread;
    int tid;
    long calls;
    uint64_t seed;
    _Atomic long done, number;
} workers[MOST];
static uint64_t *vectors;
// For threads that calls start: there are far fewer at once.
static char *stacks;
static _Atomic uint64_t stack_count;
static atomic_int go;
// Where the heap began to be ours.
static uint64_t heap;

static uint64_t chance(uint64_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed * 0x2545f4914f6cdd1d >> 8;
}

// Any call, with any arguments. Whoever comes back as a new thread, on whatever stack, ends at once.
static long call(long number, const uint64_t *args) {
    register uint64_t r10 __asm__("r10") = args[3], r8 __asm__("r8") = args[4], r9 __asm__("r9") = args[5];
    register long kept __asm__("r12") = number;
    long result = number;
    __asm__ volatile("syscall\n\ttest %%rax, %%rax\n\tjne 1f\n\tcmp $56, %%r12d\n\tjne 1f\n\tmov $60, %%eax\n\tsyscall\n1:"
                     : "+a"(result)
                     : "D"(args[0]), "S"(args[1]), "d"(args[2]), "r"(r10), "r"(r8), "r"(r9), "r"(kept)
                     : "rcx", "r11", "memory");
    return result;
}

// The same by sites that the monitor patches, for calls that the ring may answer.
#define SITE(number)                                                                                                   \
    __attribute__((noinline)) static long site_##number(const uint64_t *args) {                                        \
        register uint64_t r10 __asm__("r10") = args[3], r8 __asm__("r8") = args[4];                                    \
        long result;                                                                                                   \
        __asm__ volatile("mov $" #number ", %%eax\n\tsyscall"                                                          \
                         : "=a"(result)                                                                                \
                         : "D"(args[0]), "S"(args[1]), "d"(args[2]), "r"(r10), "r"(r8)                                 \
                         : "rcx", "r11", "memory", "cc");                                                              \
        return result;                                                                                                 \
    }
SITE(0) SITE(1) SITE(5) SITE(8) SITE(17) SITE(18) SITE(19) SITE(20) SITE(39) SITE(96) SITE(228) SITE(295) SITE(296) SITE(318)
static long (*const sites[])(const uint64_t *) = {site_0, site_1, site_5, site_8, site_17, site_18, site_19, site_20, site_39,
                                                  site_96, site_228, site_295, site_296, site_318};

static const char *const paths[] = {"/data/a", "/data/b", "a", "/data/folder", "/data/folder/c", ".", "/", "/dev/null", "..",
                                    "/data", "", "/data/../etc/passwd"};
static const struct timespec times[] = {{0, 1}, {0, 900000}, {0, 0}, {0, 10}, {-1, 0}, {0, 2000000000}};
static const struct sockaddr_in names[] = {{AF_INET, 0, {0x0100007f}, {0}}, {AF_INET, 0x0100, {0x0100007f}, {0}}};

// An argument that may make sense.
static uint64_t sensible(char kind, uint64_t *seed) {
    uint64_t dice = chance(seed), few = dice >> 16 & 0xff;
    switch (kind) {
    case 'f': return few % 40;
    case 'c': return few % 62;
    case 'u': return AF_UNIX;
    case 'y': return (uint64_t[]){SOCK_STREAM, SOCK_DGRAM, SOCK_STREAM | SOCK_NONBLOCK, SOCK_RAW}[few % 4];
    case 'h': return (uint64_t[]){SOL_SOCKET, IPPROTO_IP, IPPROTO_TCP, IPPROTO_IPV6}[few % 4];
    case 'p': return (uint64_t)scratch + dice % SCRATCH / 64 * 64;
    case 'v': return (uint64_t)vectors + few % 16 * 64;
    case 's': return (uint64_t)paths[few % (sizeof paths / sizeof *paths)];
    case 'a': return few % 8 ? AT_FDCWD : few % 40;
    case 'l': return dice % 700;
    case 'b': return 8 << few % 2;
    case 'o': return dice % 5000;
    case 'n': return few % 12;
    case 'm': return 0777;
    case 'g': return 1 << few % 20 | few % 3;
    case 'd': return (uint64_t[]){AF_INET, AF_UNIX, AF_INET6}[few % 3];
    case 't': return (uint64_t)&times[few % 5];
    case 'k': return (uint64_t)&names[few % 2];
    case 'i': return (uint64_t[]){0x5401, 0x5413, 0x541b, 0x5421}[few % 4];
    default: return 0;
    }
}

// An argument of any kind.
static uint64_t argument(uint64_t *seed) {
    uint64_t dice = chance(seed), value = chance(seed);
    switch (dice % 16) {
    case 0: return value;
    case 1: return value % 5;
    case 2: case 3: return value % 48;
    case 4: return -(value % 200);
    case 5: return (uint64_t)1 << value % 64;
    case 6: return 0;
    case 7: return PAGE * (value % 20);
    case 8: return (uint64_t)1 << value % 22 | (uint64_t)1 << (value >> 8) % 22;
    case 9: return (uint64_t)arena + value % ARENA;
    case 10: return value % 3 ? (uint64_t)arena + PAGE * (value % 64) : 0xffff800000000000 + value % PAGE;
    default: return (uint64_t)scratch + value % SCRATCH / 64 * 64 + (value >> 32) % 2 * ((value >> 40) % 64);
    }
}

// Keeps a call from ending the program, filling the disk, or blocking the watchdog's signal: the rest is left to chance.
static void restrain(long number, uint64_t *args, uint64_t *seed) {
    uint64_t dice = chance(seed);
    uint64_t place = (uint64_t)arena + PAGE * (dice % 60) + (dice >> 8) % 8 / 7;
    switch (number) {
    case SYS_munmap: case SYS_mprotect: case SYS_madvise: case SYS_mremap: case SYS_mmap:
        args[0] = dice % 7 ? place : number == SYS_mmap ? 0 : -dice;
        if (dice % 5) args[1] = PAGE * (1 + (dice >> 8) % 4);
        else args[1] %= ARENA;
        if (number == SYS_mmap) args[3] = dice % 3 ? 0x22 | (args[3] & 0x10) : args[3];
        // A mapping that may be put anywhere at all could take the place of the program.
        if (number == SYS_mmap && args[0] < (uint64_t)arena) args[3] &= ~0x10ull;
        if (number == SYS_mremap && dice % 2) args[2] = PAGE * ((dice >> 16) % 6), args[3] = (dice >> 20) % 4;
        if (number == SYS_mremap && args[3] & 2) {
            args[2] %= ARENA;
            args[4] = (uint64_t)arena + PAGE * ((dice >> 24) % 60);
        }
        break;
    case SYS_brk: args[0] = dice % 4 ? heap + dice % (1 << 20) : dice; break;
    case SYS_clone:
        args[0] = dice % 8 ? 0x10f00 | (args[0] & 0x1f80000) : args[0];
        // A signal must not make it use the stack of who starts it.
        args[1] = (uint64_t)stacks + STACK * (1 + stack_count++ % STACKS);
        break;
    case SYS_fallocate: case SYS_ftruncate:
        for (int at = 1; at < 4; at++) args[at] %= 1 << 20;
        break;
    case SYS_pwrite64: case SYS_pwritev: args[3] %= 1 << 30; break;
    case SYS_lseek: args[1] %= 1 << 30; break;
    case SYS_rt_sigaction:
        args[1] = dice % 4 ? (uint64_t)actions[dice % 6] : 0;
        if ((int)args[0] == WATCHDOG) args[0] = 10;
        break;
    case SYS_rt_sigprocmask: case SYS_rt_sigtimedwait: case SYS_rt_sigsuspend: {
        int at = number == SYS_rt_sigprocmask;
        args[at] = (uint64_t)&masks[dice % 4];
        if (number == SYS_rt_sigsuspend) args[1] = 8;
        break;
    }
    case SYS_ppoll: args[3] = dice % 2 ? (uint64_t)&masks[dice % 4] : 0; break;
    case SYS_epoll_pwait: args[4] = dice % 2 ? (uint64_t)&masks[dice % 4] : 0; break;
    case SYS_pselect6: args[5] = 0; break;
    // One in eight waits until it is interrupted.
    case SYS_poll: args[2] = dice % 8 ? 0 : args[2]; break;
    case SYS_sigaltstack: args[0] = 0; break;
    // SIGKILL and what stops are no business of ours.
    case SYS_kill: case SYS_tkill: case SYS_rt_sigqueueinfo: args[1] = 33 + dice % 31; break;
    case SYS_tgkill: case SYS_rt_tgsigqueueinfo: args[2] = 33 + dice % 31; break;
    case SYS_timer_create: args[1] = 0; break;
    case SYS_arch_prctl: args[0] = 0x1000 + dice % 8 * (dice >> 8) % 2; break;
    default: break;
    }
}

static void prepare(uint64_t seed) {
    for (size_t at = 0; at < SCRATCH; at += 8) {
        uint64_t dice = chance(&seed);
        *(uint64_t *)(scratch + at) = dice % 3 ? dice / 4 % 64 : (dice / 4 % 8) | (dice / 32 % 40) << 32;
    }
}

// Buffers, which are headers of messages as well. No call can change them.
static void point(void) {
    uint64_t seed = 1;
    vectors = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int at = 0; at < 128; at += 4) {
        vectors[at] = (uint64_t)scratch + chance(&seed) % SCRATCH / 2, vectors[at + 1] = chance(&seed) % 300;
        vectors[at + 2] = (uint64_t)&vectors[4 * (at % 8)], vectors[at + 3] = at / 4 % 4;
    }
    // No address, two buffers.
    for (int at = 0; at < 128; at += 16) vectors[at] = vectors[at + 1] = vectors[at + 5] = vectors[at + 6] = 0;
    mprotect(vectors, PAGE, PROT_READ);
}

static long plain(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
    return call(number, (uint64_t[]){a, b, c, d, 0, 0});
}

// No errors are asked of the library here: calls may take away what it needs for that.
static void *storm(void *argument_) {
    struct worker *worker = argument_;
    uint64_t seed = worker->seed, args[6];
    worker->tid = plain(SYS_gettid, 0, 0, 0, 0);
    while (!go) plain(SYS_sched_yield, 0, 0, 0, 0);
    for (long at = 0; at < worker->calls; at++) {
        if (at % 1024 == 0) prepare(worker->seed + at);
        uint64_t dice = chance(&seed);
        size_t which = dice % (sizeof known / sizeof *known);
        long number = known[which].number;
        if ((dice >> 32) % 16 == 0) number = (dice >> 40) % 512;
        if ((dice >> 32) % 512 == 1) number = argument(&seed);
        if (number == SYS_exit || number == SYS_exit_group || number == SYS_rt_sigreturn) continue;
        if ((number == SYS_pause || number == SYS_rt_sigsuspend) && (dice >> 44) % 32) continue;
        const char *kinds = (dice >> 48) % 3 && number == known[which].number ? known[which].arguments : "";
        for (int i = 0; i < 6; i++) {
            char kind = *kinds ? *kinds++ : 0;
            args[i] = kind && chance(&seed) % 12 ? sensible(kind, &seed) : argument(&seed);
        }
        restrain(number, args, &seed);
        worker->number = number;
        long (*site)(const uint64_t *) = sites[(dice >> 20) % (sizeof sites / sizeof *sites)];
        // What is restrained for one call is not for another, but these only write to where they are told.
        if ((dice >> 44) % 4 == 0) site(args);
        else call(number, args);
        worker->done = at + 1;
    }
    worker->done = worker->calls;
    plain(SYS_exit, 0, 0, 0, 0);
    return NULL;
}

// Waits until all threads have made their calls, and interrupts those that seem to wait.
static int watch(int count, int report) {
    long before[MOST] = {0};
    int still[MOST] = {0};
    struct timespec while_ = {0, 2000000};
    for (int left = count; left;) {
        plain(SYS_nanosleep, (uint64_t)&while_, 0, 0, 0);
        left = 0;
        for (int at = 0; at < count; at++) {
            struct worker *worker = &workers[at];
            long done = worker->done;
            if (done >= worker->calls) continue;
            left++;
            still[at] = done == before[at] ? still[at] + 1 : 0;
            before[at] = done;
            if (still[at] > 1) plain(SYS_tgkill, 2, worker->tid, WATCHDOG, 0);
            if (still[at] > 30000) {
                char text[80];
                int len = snprintf(text, sizeof text, "stuck in call %ld\n", (long)worker->number);
                plain(SYS_write, report, (uint64_t)text, len, 0);
                return 9;
            }
        }
    }
    return 0;
}

int main(int argc, char **argv) {
    int count = argc > 1 ? atoi(argv[1]) : 1;
    long calls = argc > 2 ? atol(argv[2]) : 1000;
    uint64_t seed = argc > 3 ? strtoul(argv[3], NULL, 10) : 1;
    if (count < 1 || count > MOST) return 2;
    stacks = mmap(NULL, STACK * STACKS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    scratch = mmap(NULL, SCRATCH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    // Room on both sides: what calls take away may be longer than what is left of it.
    arena = ARENA + (char *)mmap(NULL, 3 * ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    point();
    heap = plain(SYS_brk, 0, 0, 0, 0);
    // The last number of all is seldom one that chance takes.
    int report = dup2(2, 63);
    // While there is one thread, the monitor patches the sites of calls that it sees for the second time.
    for (int round = 0; round < 3; round++) {
        for (size_t at = 0; at < sizeof sites / sizeof *sites; at++) sites[at]((uint64_t[6]){-1});
    }
    for (int at = 0; at < count; at++) {
        workers[at] = (struct worker){.calls = calls, .seed = seed * 0x9e3779b97f4a7c15 + at + 1};
        if (pthread_create(&workers[at].thread, NULL, storm, &workers[at]) != 0) return 3;
    }
    static const int deadly[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS};
    for (int signal = 1; signal <= 64; signal++) {
        int skip = 0;
        for (size_t at = 0; at < sizeof deadly / sizeof *deadly; at++) skip |= signal == deadly[at];
        if (!skip) plain(SYS_rt_sigaction, signal, (uint64_t)actions[0], 0, 8);
    }
    go = 1;
    int status = watch(count, report);
    if (status == 0 && seed % 2) {
        uint64_t none[4] = {0};
        for (size_t at = 2; at < sizeof deadly / sizeof *deadly; at++)
            plain(SYS_rt_sigaction, deadly[at], (uint64_t)none, 0, 8);
        char *frame = scratch + chance(&seed) % SCRATCH / 128 * 64;
        __asm__ volatile("mov %0, %%rsp\n\tmov $15, %%eax\n\tsyscall\n\tud2" ::"r"(frame));
    }
    _exit(status);
}
