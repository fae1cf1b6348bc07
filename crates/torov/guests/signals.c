// Signals as Linux delivers them: handlers, masks, stacks, frames, threads, timers, interrupted calls.
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define CHECK(what) ((what) ? (void)0 : (printf("line %d: %s (errno %d)\n", __LINE__, #what, errno), exit(1)))

static volatile sig_atomic_t count, depth, deepest, last;
static siginfo_t told;
static atomic_int turn;

static void set(int signal, void (*handler)(int, siginfo_t *, void *), int flags, int blocked) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    if (blocked) sigaddset(&action.sa_mask, blocked);
    CHECK(sigaction(signal, &action, NULL) == 0);
}

static void note(int signal, siginfo_t *info, void *context) {
    (void)context;
    count++;
    last = signal;
    told = *info;
}

static void clobber(int signal, siginfo_t *info, void *context) {
    note(signal, info, context);
    // Whatever a handler does to the registers is undone.
    __asm__ volatile("pxor %%xmm0, %%xmm0; pxor %%xmm7, %%xmm7; pxor %%xmm15, %%xmm15; fninit; fldpi; fldpi"
                     ::: "xmm0", "xmm7", "xmm15");
    errno = 77;
}

// Registers of every kind survive a handler that comes out of the blue.
static void registers_survive(void) {
    set(SIGUSR1, clobber, 0, 0);
    for (int i = 0; i < 20; i++) {
        double in[2] = {1.5 * i, 2.5}, out[2] = {0, 0};
        long pid = getpid(), tid = gettid(), result = SYS_tgkill, rbx, r12;
        long double wide = 3.25L * i, back;
        __asm__ volatile("fldt %[wide]\n movupd %[in], %%xmm7\n mov $0x1234, %%rbx\n mov $0x5678, %%r12\n"
                         "pushq $0x77\n pushq $0x88\n syscall\n popq %%r13\n popq %%r14\n"
                         "movupd %%xmm7, %[out]\n fstpt %[back]\n mov %%rbx, %[rbx]\n mov %%r12, %[r12]"
                         : "+a"(result), [out] "=m"(out), [back] "=m"(back), [rbx] "=m"(rbx), [r12] "=m"(r12)
                         : [in] "m"(in), [wide] "m"(wide), "D"(pid), "S"(tid), "d"((long)SIGUSR1)
                         : "rcx", "r11", "rbx", "r12", "r13", "r14", "xmm7", "memory");
        CHECK(result == 0 && out[0] == in[0] && out[1] == 2.5 && back == wide && rbx == 0x1234 && r12 == 0x5678);
    }
    CHECK(count == 20 && told.si_code == SI_TKILL && told.si_pid == getpid());
}

static void nest(int signal, siginfo_t *info, void *context) {
    (void)info, (void)context;
    depth++;
    if (depth > deepest) deepest = depth;
    if (signal == SIGUSR1 && count++ < 3) raise(SIGUSR2);
    if (signal == SIGUSR2 && count < 3) raise(SIGUSR1);
    depth--;
}

static void handlers_nest(void) {
    count = depth = deepest = 0;
    set(SIGUSR1, nest, SA_NODEFER, 0);
    set(SIGUSR2, nest, SA_NODEFER, 0);
    raise(SIGUSR1);
    CHECK(deepest == 6 && depth == 0);
    // Without SA_NODEFER a handler's own signal waits until it is done.
    count = deepest = 0;
    set(SIGUSR1, nest, 0, SIGUSR2);
    set(SIGUSR2, nest, 0, SIGUSR1);
    raise(SIGUSR1);
    CHECK(deepest == 1 && depth == 0 && count == 3);
}

static void masks_hold(void) {
    sigset_t block, old, pending;
    count = 0;
    set(SIGUSR1, note, 0, 0);
    set(SIGRTMIN + 3, note, 0, 0);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigaddset(&block, SIGRTMIN + 3);
    CHECK(sigprocmask(SIG_BLOCK, &block, &old) == 0);
    for (int i = 0; i < 3; i++) {
        CHECK(raise(SIGUSR1) == 0);
        CHECK(sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = i}) == 0);
    }
    CHECK(count == 0 && sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1) && !sigismember(&pending, SIGUSR2));
    CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
    // One of SIGUSR1, three that queue.
    CHECK(count == 4);
    CHECK(sigprocmask(SIG_BLOCK, &block, NULL) == 0);
    for (int i = 5; i < 8; i++) CHECK(sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = i}) == 0);
    for (int i = 5; i < 8; i++) {
        siginfo_t info;
        CHECK(sigwaitinfo(&block, &info) == SIGRTMIN + 3 && info.si_value.sival_int == i && info.si_code == SI_QUEUE);
    }
    struct timespec soon = {0, 1000000};
    CHECK(sigtimedwait(&block, NULL, &soon) == -1 && errno == EAGAIN);
    // sigsuspend lets one in, and the mask is as before behind it.
    raise(SIGUSR1);
    count = 0;
    CHECK(sigsuspend(&old) == -1 && errno == EINTR && count == 1);
    CHECK(sigprocmask(SIG_SETMASK, NULL, &pending) == 0 && sigismember(&pending, SIGUSR1));
    struct pollfd none = {.fd = -1};
    raise(SIGUSR1);
    CHECK(ppoll(&none, 1, NULL, &old) == -1 && errno == EINTR && count == 2);
    raise(SIGUSR1);
    CHECK(pselect(0, NULL, NULL, NULL, NULL, &old) == -1 && errno == EINTR && count == 3);
    CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
    // What is ignored is dropped.
    signal(SIGUSR1, SIG_IGN);
    raise(SIGUSR1);
    raise(SIGCHLD);
}

static sigjmp_buf back;
static char *volatile place;
static int wanted_code;

static void fault(int signal, siginfo_t *info, void *context) {
    ucontext_t *at = context;
    CHECK(signal == SIGSEGV && info->si_addr == place && info->si_code == wanted_code);
    CHECK((char *)at->uc_mcontext.gregs[REG_CR2] == place && at->uc_mcontext.gregs[REG_TRAPNO] == 14);
    count++;
    if (wanted_code == SEGV_ACCERR) {
        // Mended: the instruction is made again.
        CHECK(mprotect(place, 4096, PROT_READ | PROT_WRITE) == 0);
        return;
    }
    siglongjmp(back, 1);
}

static void skip(int signal, siginfo_t *info, void *context) {
    ucontext_t *at = context;
    count++;
    last = signal;
    told = *info;
    // `ud2` and `div %rcx` have 2 and 3 bytes; behind `int3` there is nothing to pass over.
    at->uc_mcontext.gregs[REG_RIP] += signal == SIGILL ? 2 : signal == SIGFPE ? 3 : 0;
}

static void faults_are_caught(void) {
    count = 0;
    set(SIGSEGV, fault, 0, 0);
    place = NULL;
    wanted_code = SEGV_MAPERR;
    for (int i = 0; i < 3; i++)
        if (!sigsetjmp(back, 1)) *place = 1;
    CHECK(count == 3);
    place = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    wanted_code = SEGV_ACCERR;
    *place = 42;
    CHECK(count == 4 && *place == 42);
    set(SIGILL, skip, 0, 0);
    set(SIGFPE, skip, 0, 0);
    set(SIGTRAP, skip, 0, 0);
    __asm__ volatile("ud2" ::: "memory");
    CHECK(last == SIGILL && told.si_code == ILL_ILLOPN);
    __asm__ volatile("xor %%ecx, %%ecx; mov $1, %%eax; cltd; div %%rcx" ::: "rax", "rcx", "rdx", "memory");
    CHECK(last == SIGFPE && told.si_code == FPE_INTDIV);
    __asm__ volatile("int3" ::: "memory");
    CHECK(last == SIGTRAP && count == 7);
}

static char *alternate;
static const size_t ALTERNATE = 32768;

static int on_alternate(void *at) { return (char *)at >= alternate && (char *)at < alternate + ALTERNATE; }

static void deep_handler(int signal, siginfo_t *info, void *context) {
    (void)info;
    ucontext_t *at = context;
    stack_t now;
    CHECK(signal == SIGSEGV && on_alternate(&now));
    CHECK(sigaltstack(NULL, &now) == 0 && now.ss_flags == SS_ONSTACK && now.ss_sp == alternate);
    stack_t none = {.ss_flags = SS_DISABLE};
    CHECK(sigaltstack(&none, NULL) == -1 && errno == EPERM);
    CHECK(at->uc_stack.ss_sp == alternate);
    count++;
    siglongjmp(back, 1);
}

__attribute__((noinline)) static int deep(int level) {
    volatile char frame[4096];
    frame[0] = (char)level;
    return level == 1 << 20 ? 0 : deep(level + 1) + frame[0];
}

// A stack that is used up still has a handler, on a stack of its own.
static void stacks_change(void) {
    alternate = mmap(NULL, ALTERNATE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t stack = {.ss_sp = alternate, .ss_size = ALTERNATE}, old;
    CHECK(sigaltstack(&stack, &old) == 0 && old.ss_flags == SS_DISABLE);
    stack_t small = {.ss_sp = alternate, .ss_size = 100};
    CHECK(sigaltstack(&small, NULL) == -1 && errno == ENOMEM);
    count = 0;
    set(SIGSEGV, deep_handler, SA_ONSTACK, 0);
    for (int i = 0; i < 2; i++)
        if (!sigsetjmp(back, 1)) deep(0);
    CHECK(count == 2);
}

static pthread_t first;

static void *pester(void *argument) {
    (void)argument;
    // Again and again: the other thread may not have come to its call yet.
    while (turn == 1) {
        pthread_kill(first, SIGUSR1);
        sched_yield();
    }
    return NULL;
}

static void *write_late(void *argument) {
    int *ends = argument;
    // Some interruptions first, then what the reader waits for.
    int seen = count;
    while (count < seen + 3) {
        pthread_kill(first, SIGUSR1);
        sched_yield();
    }
    CHECK(write(ends[1], "x", 1) == 1);
    return NULL;
}

// Calls that wait are ended by a handler, or made again where it asks for that.
static void calls_are_interrupted(void) {
    int ends[2];
    char byte;
    pthread_t thread;
    CHECK(pipe(ends) == 0);
    first = pthread_self();
    for (int which = 0; which < 6; which++) {
        struct timespec long_time = {1000, 0}, left = {0, 0};
        uint32_t word = 1;
        set(SIGUSR1, note, which == 3 ? SA_RESTART : 0, 0);
        turn = 1;
        CHECK(pthread_create(&thread, NULL, pester, NULL) == 0);
        if (which == 0) CHECK(read(ends[0], &byte, 1) == -1 && errno == EINTR);
        if (which == 1) CHECK(nanosleep(&long_time, &left) == -1 && errno == EINTR && left.tv_sec >= 900);
        if (which == 2) CHECK(poll(&(struct pollfd){.fd = ends[0], .events = POLLIN}, 1, -1) == -1 && errno == EINTR);
        // This one is ended whatever the handler asked for.
        if (which == 3) CHECK(pause() == -1 && errno == EINTR);
        if (which == 4) CHECK(syscall(SYS_futex, &word, 0, 1, NULL, NULL, 0) == -1 && errno == EINTR);
        // Computing is interrupted too.
        if (which == 5) for (int seen = count; seen == count;) {}
        turn = 0;
        pthread_join(thread, NULL);
    }
    set(SIGUSR1, note, SA_RESTART, 0);
    for (int round = 0; round < 3; round++) {
        CHECK(pthread_create(&thread, NULL, write_late, ends) == 0);
        CHECK(read(ends[0], &byte, 1) == 1 && byte == 'x');
        pthread_join(thread, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
    close(ends[0]);
    CHECK(write(ends[1], "x", 1) == -1 && errno == EPIPE);
    set(SIGPIPE, note, 0, 0);
    CHECK(write(ends[1], "x", 1) == -1 && errno == EPIPE && last == SIGPIPE);
}

static void *wait_for_one(void *argument) {
    sigset_t all;
    int signal;
    sigfillset(&all);
    CHECK(sigwait(&all, &signal) == 0 && signal == SIGTERM);
    *(int *)argument = 1;
    return NULL;
}

static void *note_own(void *argument) {
    *(pid_t *)argument = gettid();
    turn = 2;
    while (turn != 3) sched_yield();
    return NULL;
}

static pid_t handled_by;

static void who(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info, (void)context;
    handled_by = gettid();
    turn = 3;
}

static void threads_have_their_own(void) {
    sigset_t all, old;
    pthread_t thread;
    pid_t other = 0;
    int done = 0;
    // A thread begins with the mask of its parent, and waits for what that blocks.
    sigfillset(&all);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, &old) == 0);
    CHECK(pthread_create(&thread, NULL, wait_for_one, &done) == 0);
    CHECK(kill(getpid(), SIGTERM) == 0 && pthread_join(thread, NULL) == 0 && done == 1);
    CHECK(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
    // One that is sent to a thread comes to that thread.
    set(SIGUSR2, who, 0, 0);
    turn = 1;
    CHECK(pthread_create(&thread, NULL, note_own, &other) == 0);
    while (turn != 2) sched_yield();
    CHECK(pthread_kill(thread, SIGUSR2) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(handled_by == other && other != gettid());
    CHECK(syscall(SYS_tgkill, getpid(), 9999, SIGUSR2) == -1 && errno == ESRCH);
    CHECK(kill(12345, 0) == -1 && errno == ESRCH && kill(getpid(), 0) == 0 && kill(getpid(), 65) == -1);
}

static void timers_go_off(void) {
    count = 0;
    set(SIGALRM, note, 0, 0);
    struct itimerval often = {{0, 2000}, {0, 1000}}, never = {{0, 0}, {0, 0}}, left;
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
    while (count < 5) pause();
    CHECK(setitimer(ITIMER_REAL, &never, &left) == 0 && left.it_interval.tv_usec == 2000);
    // By processor time, of which the loop uses some.
    for (int which = ITIMER_VIRTUAL; which <= ITIMER_PROF; which++) {
        struct itimerval spent = {{0, 0}, {0, 20000}};
        count = 0;
        set(which == ITIMER_PROF ? SIGPROF : SIGVTALRM, note, 0, 0);
        CHECK(setitimer(which, &spent, NULL) == 0 && getitimer(which, &left) == 0 && left.it_interval.tv_usec == 0);
        while (count == 0) {}
        CHECK(getitimer(which, &left) == 0 && left.it_value.tv_usec == 0);
    }
    CHECK(alarm(100) == 0 && alarm(0) > 90);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1};
    event.sigev_value.sival_int = 99;
    timer_t timer;
    struct itimerspec soon = {{0, 0}, {0, 1000000}};
    sigset_t block, old;
    siginfo_t info;
    sigemptyset(&block);
    sigaddset(&block, SIGRTMIN + 1);
    CHECK(sigprocmask(SIG_BLOCK, &block, &old) == 0);
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 && timer_settime(timer, 0, &soon, NULL) == 0);
    CHECK(sigwaitinfo(&block, &info) == SIGRTMIN + 1 && info.si_value.sival_int == 99 && info.si_code == SI_TIMER);
    CHECK(timer_getoverrun(timer) == 0 && timer_gettime(timer, &soon) == 0 && soon.it_value.tv_nsec == 0);
    CHECK(timer_delete(timer) == 0 && sigprocmask(SIG_SETMASK, &old, NULL) == 0);
}

static atomic_long done_calls;

static void *write_much(void *argument) {
    long rounds = (long)argument;
    for (long i = 0; i < rounds; i++) {
        CHECK(write(2, "", 0) == 0 && lseek(0, 0, SEEK_CUR) != 12345);
        done_calls++;
    }
    return NULL;
}

static void in_between(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info, (void)context;
    count++;
    // A handler makes calls from the same places as the program.
    CHECK(write(2, "", 0) == 0);
}

// Signals come at every moment of calls by the thousand, and none is lost or made twice.
static void storm(long rounds) {
    char byte = 'a';
    int ends[2];
    pthread_t thread;
    CHECK(pipe(ends) == 0);
    count = 0;
    set(SIGUSR1, in_between, SA_RESTART, 0);
    first = pthread_self();
    turn = 1;
    // The sites of the calls are patched while there is one thread.
    write_much((void *)64L);
    CHECK(pthread_create(&thread, NULL, pester, NULL) == 0);
    for (long i = 0; i < rounds; i++) {
        CHECK(write(ends[1], &byte, 1) == 1);
        char got;
        CHECK(read(ends[0], &got, 1) == 1 && got == byte);
        byte = byte == 'z' ? 'a' : byte + 1;
        write_much((void *)1L);
    }
    turn = 0;
    pthread_join(thread, NULL);
    CHECK(done_calls == 64 + rounds && count > 0);
}

static void without_end(int signal, siginfo_t *info, void *context) {
    (void)info, (void)context;
    raise(signal);
}

static void stop(int signal) {
    (void)signal;
    write(1, "stopped\n", 8);
    _exit(7);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "all";
    if (!strcmp(what, "wait") || !strcmp(what, "wait-by-default")) {
        if (!strcmp(what, "wait")) signal(SIGTERM, stop);
        puts("ready");
        fflush(stdout);
        for (;;) {
            if (argc > 2) continue;
            pause();
        }
    }
    if (!strcmp(what, "storm")) storm(atol(argv[2]));
    if (!strcmp(what, "small-stack")) {
        static char small[8192];
        sigaltstack(&(stack_t){.ss_sp = small, .ss_size = sizeof small}, NULL);
        set(SIGUSR1, without_end, SA_ONSTACK | SA_NODEFER, 0);
        raise(SIGUSR1);
    }
    if (!strcmp(what, "bad-return")) __asm__ volatile("xor %%esp, %%esp; mov $15, %%eax; syscall" ::: "rax", "memory");
    if (!strcmp(what, "segv-in-handler")) {
        set(SIGSEGV, fault, 0, 0);
        sigset_t block;
        sigemptyset(&block);
        sigaddset(&block, SIGSEGV);
        sigprocmask(SIG_BLOCK, &block, NULL);
        *(volatile int *)NULL = 1;
    }
    if (!strcmp(what, "all")) {
        registers_survive();
        handlers_nest();
        masks_hold();
        faults_are_caught();
        stacks_change();
        calls_are_interrupted();
        threads_have_their_own();
        timers_go_off();
    }
    puts("ok");
    return 0;
}
