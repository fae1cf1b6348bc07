// Threads, and what they wait for.

static uint32_t word;

static long futex(uint32_t *at, int operation, uint32_t value, const void *fourth, uint32_t *other, uint32_t last) {
    return syscall(SYS_futex, at, operation, value, fourth, other, last);
}

static void *wait_for_word(void *argument) {
    do futex(&word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0);
    while (__atomic_load_n(&word, __ATOMIC_ACQUIRE) == 0);
    return argument;
}

static void threads(void) {
    struct timespec zero = {0, 0}, wrong = {0, 1000000000}, negative = {-1, 0};
    uint32_t other = 0;
    IS("futex: FUTEX_WAIT for another value", futex(&word, FUTEX_WAIT, 1, NULL, NULL, 0));
    IS("futex: FUTEX_WAIT, no time", futex(&word, FUTEX_WAIT, 0, &zero, NULL, 0));
    IS("futex: FUTEX_WAIT, too many nanoseconds", futex(&word, FUTEX_WAIT, 0, &wrong, NULL, 0));
    IS("futex: FUTEX_WAIT, negative time", futex(&word, FUTEX_WAIT, 0, &negative, NULL, 0));
    IS("futex: FUTEX_WAIT_BITSET, time is over", futex(&word, FUTEX_WAIT_BITSET, 0, &zero, NULL, 1));
    IS("futex: FUTEX_WAIT_BITSET, no bit", futex(&word, FUTEX_WAIT_BITSET, 0, &zero, NULL, 0));
    IS("futex: FUTEX_WAKE, nobody", futex(&word, FUTEX_WAKE, 10, NULL, NULL, 0));
    IS("futex: FUTEX_WAKE_BITSET, no bit", futex(&word, FUTEX_WAKE_BITSET, 10, NULL, NULL, 0));
    IS("futex: FUTEX_REQUEUE, nobody", futex(&word, FUTEX_REQUEUE, 1, (void *)1, &other, 0));
    IS("futex: FUTEX_CMP_REQUEUE, another value", futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)1, &other, 5));
    IS("futex: FUTEX_REQUEUE, negative", futex(&word, FUTEX_REQUEUE, -1, (void *)1, &other, 0));
    IS("futex: an odd place", futex((uint32_t *)((char *)&word + 1), FUTEX_WAKE, 1, NULL, NULL, 0));
    IS("futex: nowhere, to wait", futex((uint32_t *)nowhere, FUTEX_WAIT, 0, &zero, NULL, 0));
    IS("futex: an operation that nobody knows", futex(&word, 77, 0, NULL, NULL, 0));
    IS("futex: FUTEX_WAIT by the clock of day", futex(&word, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 0, &zero, NULL, 0));
    IS("futex: FUTEX_LOCK_PI", futex(&other, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
    pthread_t waiter;
    void *result = NULL;
    IS("clone: a thread", pthread_create(&waiter, NULL, wait_for_word, &other));
    __atomic_store_n(&word, 1, __ATOMIC_RELEASE);
    futex(&word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
    IS("futex: it comes back", pthread_join(waiter, &result));
    HOLDS("clone: with its result", result == &other);
    IS("sched_yield", sched_yield());
    HOLDS("gettid", gettid() == getpid());
    IS("set_tid_address", syscall(SYS_set_tid_address, &other) == gettid());
    IS("set_robust_list: a wrong length", syscall(SYS_set_robust_list, &other, 8));
    IS("get_robust_list", syscall(SYS_get_robust_list, 0, &result, &result));
    IS("membarrier: MEMBARRIER_CMD_QUERY", syscall(SYS_membarrier, 0, 0, 0) > 0);
    IS("membarrier: a command that nobody knows", syscall(SYS_membarrier, 1 << 30, 0, 0));
    IS("membarrier: a flag that nobody knows", syscall(SYS_membarrier, 0, 8, 0));
    cpu_set_t set;
    WORKS("sched_getaffinity", syscall(SYS_sched_getaffinity, 0, sizeof set, &set));
    IS("sched_getaffinity: little room", syscall(SYS_sched_getaffinity, 0, 3, &set));
    IS("sched_getaffinity: to nowhere", syscall(SYS_sched_getaffinity, 0, 1024, nowhere));
    IS("sched_getaffinity: a thread that is not there", syscall(SYS_sched_getaffinity, 999999, sizeof set, &set));
    CPU_ZERO(&set);
    IS("sched_setaffinity: no processor", (syscall(SYS_sched_setaffinity, 0, sizeof set, &set)));
    unsigned cpu, node;
    IS("getcpu", syscall(SYS_getcpu, &cpu, &node, NULL));
    IS("getcpu: to nowhere", syscall(SYS_getcpu, nowhere, NULL, NULL));
    IS("clone: flags that do not go together", syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0));
}
