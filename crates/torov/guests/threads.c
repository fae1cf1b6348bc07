// Threads that count under a lock, wait for each other, and come and go.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { THREADS = 4, ROUNDS = 5000, GENERATIONS = 20 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static long counted;
static int turn;
static atomic_long loose;
static _Thread_local long own;

static void *count(void *argument) {
    int me = *(int *)argument;
    for (int round = 0; round < ROUNDS; round++) {
        pthread_mutex_lock(&lock);
        counted++;
        pthread_mutex_unlock(&lock);
        atomic_fetch_add(&loose, 1);
        own++;
    }
    pthread_mutex_lock(&lock);
    while (turn != me) pthread_cond_wait(&changed, &lock);
    turn++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return (void *)own;
}

static void *nothing(void *argument) { return argument; }

int main(void) {
    pthread_t threads[THREADS];
    int numbers[THREADS];
    long owned = 0;
    for (int at = 0; at < THREADS; at++) {
        numbers[at] = at;
        if (pthread_create(&threads[at], NULL, count, &numbers[at])) return 1;
    }
    for (int at = 0; at < THREADS; at++) {
        void *own;
        pthread_join(threads[at], &own);
        owned += (long)own;
    }
    for (int at = 0; at < GENERATIONS; at++) {
        void *back;
        if (pthread_create(&threads[0], NULL, nothing, &numbers[0])) return 2;
        pthread_join(threads[0], &back);
        if (back != &numbers[0]) return 3;
    }
    printf("%ld %ld %ld %d\n", counted, (long)loose, owned, turn);
    return 0;
}
