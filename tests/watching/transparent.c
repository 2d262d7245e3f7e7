/* Programs whose result must be the same watched and unwatched: transparent NAME FILE. Each prints what it came to. */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum { SIZE = 1 << 16 };
static unsigned char *memory;
static int file;
static const char *name;
static uint64_t sum;

static void add(uint64_t value) { sum = (sum ^ value) * 0x100000001b3u; }
static void add_bytes(const void *at, size_t size) { for (size_t k = 0; k < size; k++) add(((const unsigned char *)at)[k]); }
static int order(const void *one, const void *other) { uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other; return a < b ? -1 : a > b; }

static void blocks(void)
{
    unsigned char own[1024];
    for (int k = 0; k < 4096; k++)
        memory[k] = (unsigned char)(k * 2654435761u >> 13);
    for (size_t size = 0; size < 300; size += 1 + size / 12) {
        memcpy(memory + 8192 + size, memory + size, size);
        memmove(memory + size, memory + size / 2, size);
        memmove(memory + size / 3, memory + size, size);
        memset(memory + 20000 + size, (int)size, size);
        memcpy(own, memory + 8100, size);
        add_bytes(own, size);
        add(memcmp(memory + size, memory + 2 * size, size) > 0);
        void *found = memchr(memory + size, (int)size & 255, 600);
        add(found ? (uint64_t)((unsigned char *)found - memory) : 0);
        add(strnlen((char *)memory + size, size));
    }
    qsort(memory + 8192, 200, 4, order);
    char *text = (char *)memory + 30000;
    snprintf(text, 100, "number %d and %.3f", 42, 1.5);
    strcat(text, ", and more of it than goes into one vector");
    strncpy(text + 200, text, 150);
    add(strlen(text) + (uint64_t)strtol(text + 7, NULL, 10) + (uint64_t)(strchr(text, ',') - text) + (strcmp(text, text + 200) == 0));
}

static void strings(void)
{
#ifdef __x86_64__
    unsigned char *to = memory + 33000, *from = memory + 8192, *end;
    size_t count = 100;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count)::"memory");
    add((uint64_t)(to - memory) + (uint64_t)(from - memory) + count);
    to = memory + 34000, count = 20;
    __asm__ volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(0x0102030405060708) : "memory");
    from = memory + 8192, to = memory + 33000, count = 150;
    __asm__ volatile("repe cmpsb" : "+D"(to), "+S"(from), "+c"(count)::"memory", "cc");
    add((uint64_t)(to - memory) + count);
    end = memory + 33000, count = 300;
    __asm__ volatile("repne scasb" : "+D"(end), "+c"(count) : "a"(0) : "memory", "cc");
    add((uint64_t)(end - memory) + count);
    uint64_t word = 0;
    from = memory + 8200;
    __asm__ volatile("lodsq" : "+a"(word), "+S"(from)::"memory");
    add(word);
    to = memory + 35099, from = memory + 8291, count = 50;
    __asm__ volatile("std\n rep movsb\n cld" : "+D"(to), "+S"(from), "+c"(count)::"memory");
    add((uint64_t)(to - memory));
#endif
}

static void words(void)
{
    volatile uint32_t *w = (void *)(memory + 40000);
    volatile uint64_t *q = (void *)(memory + 40200);
    volatile uint16_t *s = (void *)(memory + 40402);
    volatile uint8_t *b = memory + 40501;
    volatile double *d = (void *)(memory + 40600);
    volatile float *f = (void *)(memory + 40700);
    volatile long double *x = (void *)(memory + 40800);
    for (unsigned k = 0; k < 12; k++) {
        w[0] += k, w[1] -= k * 3, w[2] ^= w[0], w[3] |= k, w[4] &= ~k, w[5] = (w[5] << 1) | (k & 1), w[6] = -w[0], w[7] = ~w[1], w[8]++, w[9]--;
        q[0] += w[0], q[1] = q[1] * 3 + 7, q[2] = q[1] / (k + 1), q[3] = q[1] % (k + 1);
        s[0] += (uint16_t)k, s[1] = (uint16_t)(s[0] * 3), b[0]++, b[1] ^= b[0], b[2] = b[1] >> 1;
        d[0] += k * .5, d[1] = d[0] * d[0], d[2] = d[1] / 3, f[0] += (float)k, f[1] = f[0] / 7, x[0] = d[1] + k, x[1] = x[0] * 1.5L;
        add((uint64_t)(d[2] * 1000) + (uint64_t)f[1] + (uint64_t)x[1] + (uint64_t)(int8_t)b[1] + (uint64_t)(int16_t)s[1]);
        __atomic_fetch_add((uint32_t *)&w[10], k, __ATOMIC_SEQ_CST);
        uint32_t expected = w[10];
        __atomic_compare_exchange_n((uint32_t *)&w[10], &expected, expected + 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
        add(__atomic_exchange_n((uint64_t *)&q[4], k, __ATOMIC_SEQ_CST) + (uint64_t)__builtin_popcountll(q[0]) + __builtin_bswap64(q[1]) % 1000);
        __atomic_fetch_or((uint8_t *)&b[5], (uint8_t)k, __ATOMIC_SEQ_CST);
        __atomic_fetch_xor((uint16_t *)&s[5], (uint16_t)k, __ATOMIC_SEQ_CST);
#ifdef __x86_64__
        uint32_t more = k;
        __asm__ volatile("pushq %1\n popq %0" : "=m"(q[6]) : "m"(q[0]) : "memory");
        __asm__ volatile("btsl %1,%0" : "+m"(w[12]) : "I"(5) : "cc");
        __asm__ volatile("btcl %1,%0" : "+m"(w[12]) : "r"(70u + k) : "cc", "memory"); /* beyond the word that it names */
        __asm__ volatile("shldl $3,%1,%0" : "+m"(w[13]) : "r"(k) : "cc");
        __asm__ volatile("xaddl %0,%1" : "+r"(more), "+m"(w[18])::"cc");
        add(more);
        __asm__ volatile("movl %1,%%eax\n imull $77,%1,%%eax\n movl %%eax,%0" : "=m"(w[19]) : "m"(w[0]) : "eax", "cc");
        __asm__ volatile("cmpl %2,%1\n sete %0" : "=m"(b[7]) : "m"(w[0]), "r"(k) : "cc");
        __asm__ volatile("fildl %1\n fistpl %0" : "=m"(w[20]) : "m"(w[0]));
        __asm__ volatile("fnstcw %0\n fldcw %0" : "=m"(s[9]));
        __asm__ volatile("stmxcsr %0\n ldmxcsr %0" : "=m"(w[21]));
        __asm__ volatile("movdqu %1, %%xmm1\n paddd %1, %%xmm1\n movdqu %%xmm1, %0" : "=m"(*(char(*)[16])(memory + 41000)) : "m"(*(char(*)[16])(memory + 40000)) : "xmm1");
        if (__builtin_cpu_supports("avx2"))
            __asm__ volatile("vmovdqu %1, %%ymm1\n vpaddd %1, %%ymm1, %%ymm1\n vmovdqu %%ymm1, %0\n vpbroadcastd %1, %%ymm2\n vmovups %%ymm2, %2\n vzeroupper" : "=m"(*(char(*)[32])(memory + 41100)), "=m"(*(char(*)[32])(memory + 41140)) : "m"(*(char(*)[32])(memory + 40000)) : "xmm1", "xmm2");
#endif
    }
    for (int round = 0; round < 2; round++)
        for (int k = 0; k < 70; k++)
            ((float *)(memory + 42000))[k] = ((float *)(memory + 42000))[k] * 1.5f + (float)k;
    for (int k = 0; k < 100; k++)
        ((int *)(memory + 44000))[k] = ((int *)(memory + 44000))[k * 7 % 100] + k;
}

static void compute(void)
{
    blocks();
    strings();
    words();
    memory[41000 + 21 * 4] = 0; /* the control words are the processor's */
    add_bytes(memory, SIZE);
    printf("%016lx\n", (unsigned long)sum);
}

static void *count(void *number)
{
    uint64_t *counter = (uint64_t *)memory;
    for (int k = 0; k < 1000; k++) {
        __atomic_fetch_add(counter, 1, __ATOMIC_SEQ_CST);
        counter[1 + (long)number]++;
    }
    return NULL;
}

static void threads(void)
{
    pthread_t its[4];
    pid_t child = fork();
    for (long k = 0; k < 4; k++)
        pthread_create(&its[k], NULL, count, (void *)(k + (child ? 0 : 4)));
    for (int k = 0; k < 4; k++)
        pthread_join(its[k], NULL);
    if (!child)
        _exit(0);
    waitpid(child, NULL, 0);
    for (int k = 0; k < 9; k++)
        printf("%lu ", (unsigned long)((uint64_t *)memory)[k]);
}

typedef void (*handler)(int);
static sigjmp_buf back;
static void *wanted;
static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    printf("signal %d, address %s, code %d, at %d\n", number, info->si_addr == wanted ? "right" : "wrong", info->si_code, memory[0]++);
    siglongjmp(back, 1);
}

/* Its own handler sees its own faults: of no mapping, of one that it may not write, and behind the end of the file. */
static void handled(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, old;
    unsigned char *only_read = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
    unsigned char *beyond = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, SIZE);
    void *places[] = {(void *)16, only_read + 40, beyond + 8};
    sigset_t all;
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, &old);
    printf("%d ", old.sa_handler == SIG_DFL);
    sigaction(SIGSEGV, NULL, &old);
    printf("%d\n", old.sa_sigaction == on_fault);
    for (int k = 0; k < 3; k++) {
        wanted = places[k];
        if (!sigsetjmp(back, 1))
            *(volatile unsigned char *)places[k] = 1;
    }
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL); /* no reason to end at an access to a mapping */
    memory[1]++;
    sigprocmask(SIG_SETMASK, NULL, &all);
    printf("blocked %d, %d\n", sigismember(&all, SIGSEGV), memory[1] + memory[0]);
}

static void repaired(int number) { (void)number; ftruncate(file, SIZE + 4096); }

/* A handler that removes the cause returns to the same instruction. */
static void grown(void)
{
    unsigned char *beyond = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, SIZE);
    signal(SIGBUS, repaired);
    beyond[7] = 5;
    beyond[8] += beyond[7];
    printf("%d\n", beyond[8]);
}

static void crashes(void) { *(volatile char *)16 = memory[0]; }
static void writes_read_only(void) { unsigned char *own = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0); own[own[3]] = 1; }
static void behind_the_end(void) { volatile unsigned char *own = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, SIZE); putchar(own[1]); }
static void sends_itself(void) { raise(SIGSEGV); }
static void ignores(void) { signal(SIGSEGV, SIG_IGN); raise(SIGSEGV); memory[0] = 1; puts("goes on"); }

/* Buffers of system calls and of the C library stand in the mapping. */
static void passed_on(void)
{
    int ends[2], own = open("/dev/zero", O_RDWR);
    pipe(ends);
    strcpy((char *)memory, "some text");
    FILE *stream = fdopen(dup(ends[1]), "w");
    printf("%zd ", write(ends[1], memory, 10));
    printf("%zd ", read(ends[0], memory + 5000, 10));
    fwrite(memory, 1, 10, stream);
    fprintf(stream, "%s", (char *)memory);
    fclose(stream);
    printf("%zd ", pread(own, memory + 100, 8000, 0));
    printf("%zd %s\n", read(ends[0], memory + 100, 19), (char *)memory + 5000);
    fwrite(memory, 1, SIZE, stdout);
}

/* Texts end where the mapping does, and go on behind it; a file ends before its mapping. */
static void searched(void)
{
    char *text = (char *)memory, *end = (char *)memory + SIZE, other[300];
    memset(text, 'a', 5000);
    memset(other, 'a', sizeof other);
    memset(end - 100, 'a', 99);
    text[5000] = text[150] = other[200] = 0;
    printf("%zu %zu %zu ", strlen(text), strlen(text + 200), strlen(end - 100));
    printf("%d %d %d ", strcmp(text, other) < 0, strcmp(other, end - 100) > 0, strncmp(text, other, 150));
    printf("%d %d ", memcmp(text, other, 150), memcmp(text, other, 160) < 0);
    printf("%td %p\n", (char *)memchr(text, 0, 4000) - text, memchr(end - 50, 'b', 50));
    char *first = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mmap(first, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
    memset(first, 'c', 5000);
    memset(first + 5000, 0, 10);
    printf("%zu %d %td\n", strlen(first + 10), strncmp(first, first + 1, 4990), (char *)memchr(first, 0, 5010) - first);
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &action, NULL);
    char *beyond = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, SIZE);
    wanted = beyond;
    if (!sigsetjmp(back, 1))
        printf("%zu\n", strlen(beyond));
}

/* What they read of one mapping is known: see the test. */
static void compared(void)
{
    static char zeros[200];
    char *volatile text = (char *)memory, *volatile other = zeros;
    volatile size_t size = 100;
    text[50] = 1;
    printf("%d ", memcmp(text, other, size) != 0);
    printf("%d ", memcmp(text + 100, other, size));
    strcpy(text + 200, "words");
    printf("%zu %d ", strlen(text + 200), strncmp(text + 200, "wood", size) > 0);
    printf("%d\n", memchr(text + 300, 1, size) == NULL);
}

/* The processor stops behind each instruction, inside of `rep movsb` behind each byte. The handler touches the mapping more
   often than a thread has slots, and is told where the program is: not where the library runs its instruction. */
extern char __executable_start, etext;
static volatile int steps, outside;
static void stepped(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
#ifdef __x86_64__
    char *at = (char *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    outside += at < &__executable_start || at >= &etext;
#endif
    for (int k = 0; k < 50; k++)
        ((volatile uint64_t *)memory)[100 + k]++;
    steps++;
}

static void interrupted(void)
{
    unsigned char *to = memory + 5000, *from = memory + 8192;
    volatile uint64_t *words = (uint64_t *)memory;
    size_t size = 40;
    struct sigaction action = {.sa_sigaction = stepped}, old; /* all three are there without SA_SIGINFO too */
    sigaction(SIGTRAP, &action, NULL);
    sigaction(SIGTRAP, NULL, &old);
    handler before = signal(SIGUSR2, SIG_IGN), ignored = signal(SIGUSR2, repaired);
    printf("%d %d %d %d\n", old.sa_sigaction == stepped, before == SIG_DFL, ignored == SIG_IGN, signal(SIGUSR2, SIG_DFL) == repaired);
    strcpy((char *)from, "forty bytes, one after the other, copied");
    for (int k = 0; k < 3; k++) {
#ifdef __x86_64__
        __asm__ volatile("pushfq\n orl $0x100, (%%rsp)\n popfq" ::: "memory", "cc");
        words[0]++, words[1] += words[0];
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size)::"memory");
        __asm__ volatile("pushfq\n andl $~0x100, (%%rsp)\n popfq" ::: "memory", "cc");
#else
        raise(SIGTRAP);
#endif
    }
    printf("%d %d %lu %lu %s\n", steps, outside, (unsigned long)words[1], (unsigned long)words[149], (char *)memory + 5000);
}

static void *maps_again(void *number)
{
    for (int k = 0; k < 1000; k++) {
        volatile unsigned char *own = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        own[(long)number] = (unsigned char)k;
        if (own[(long)number] != (unsigned char)k)
            puts("wrong");
        munmap((void *)own, 8192);
    }
    return NULL;
}

/* Threads are given the addresses that others have just unmapped. */
static void unmapped(void)
{
    pthread_t its[4];
    for (long k = 0; k < 4; k++)
        pthread_create(&its[k], NULL, maps_again, (void *)k);
    for (int k = 0; k < 4; k++)
        pthread_join(its[k], NULL);
    puts("done");
}

/* There is no room for another part of memory (vm.max_map_count). */
static void crowded(void)
{
    size_t pages = 1 << 18, used = 0;
    char *own = mmap(NULL, pages * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    while (used < pages && !mprotect(own + used * 4096, 4096, PROT_READ))
        used += 2;
    for (int k = 0; k < 3000; k++)
        memory[k % 7 * 8192]++;
    printf("%d %d\n", used < pages, memory[4096 * 12]);
    munmap(own, pages * 4096);
}

/* More mappings than the library has places for; then parts of some. */
static void many(void)
{
    static char *its[1100];
    for (int k = 0; k < 1100; k++)
        its[k] = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, k % 8 * 4096), its[k][k] = (char)k;
    munmap(its[500] + 4096, 4096);
    char *own = mmap(its[500] + 4096, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    printf("%d ", (int)read(open("/dev/zero", O_RDONLY), own, 100));
    strcpy(own, "its own");
    int right = 0;
    for (int k = 0; k < 1100; k++)
        right += its[k][k] == (char)k;
    printf("%d %s %d\n", right, own, memory[5 * 4096]);
}

/* A page that was left open is moved, protected and given up. */
static void moved(void)
{
    unsigned char *own = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    for (int round = 0; round < 20; round++) {
        for (int k = 0; k < 200; k++)
            own[5000]++;
        flock(file, LOCK_EX);
    }
    own = mremap(own, 16384, 32768, MREMAP_MAYMOVE);
    for (int k = 0; own != MAP_FAILED && k < 20000; k++) {
        own[5000]++, own[20000]++;
        if (k % 500 == 0)
            flock(file, LOCK_EX);
    }
    printf("%d %d ", own[5000], own[20000]);
    errno = 0;
    printf("%d %d ", madvise(own, 8192, MADV_DONTNEED), errno);
    mprotect(own, 32768, PROT_READ);
    pid_t child = fork();
    int status;
    if (!child)
        own[5000] = 1, _exit(0);
    waitpid(child, &status, 0);
    printf("%d\n", status);
}

static void *hurries(void *at)
{
    struct timespec until, soon;
    clock_gettime(CLOCK_MONOTONIC, &until);
    clock_gettime(CLOCK_REALTIME, &soon);
    printf("%d ", pthread_rwlock_clockwrlock(at, CLOCK_MONOTONIC, &until) == ETIMEDOUT);
    until.tv_nsec += until.tv_nsec < 998000000 ? 1000000 : 0, soon.tv_nsec += soon.tv_nsec < 998000000 ? 1000000 : 0;
    printf("%d ", pthread_rwlock_clockwrlock(at, CLOCK_MONOTONIC, &until) == ETIMEDOUT);
    printf("%d ", pthread_rwlock_clockrdlock(at, CLOCK_MONOTONIC, &until) == ETIMEDOUT);
    printf("%d ", mtx_timedlock((mtx_t *)((char *)at + 512), &soon) == thrd_timedout);
    mtx_lock((mtx_t *)((char *)at + 1024));
    printf("%d\n", cnd_timedwait((cnd_t *)((char *)at + 1536), (mtx_t *)((char *)at + 1024), &soon) == thrd_timedout);
    mtx_unlock((mtx_t *)((char *)at + 1024));
    return NULL;
}

/* Locks of the C library in the mapping, for which somebody has to wait. */
static void locked(void)
{
    pthread_t other;
    pthread_rwlock_init((void *)memory, NULL);
    mtx_init((mtx_t *)(memory + 512), mtx_timed);
    mtx_init((mtx_t *)(memory + 1024), mtx_plain);
    cnd_init((cnd_t *)(memory + 1536));
    pthread_rwlock_wrlock((void *)memory);
    mtx_lock((mtx_t *)(memory + 512));
    pthread_create(&other, NULL, hurries, memory);
    pthread_join(other, NULL);
}

/* Memory without a name is nobody's file, unless it is asked for. */
static void unnamed(void)
{
    int own = memfd_create("heap", 0);
    ftruncate(own, 4096);
    volatile char *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, own, 0);
    at[5]++;
    printf("%d\n", at[5]);
}

/* Streams of stdio are given text of a mapping, more than their buffer holds. */
static void printed(void)
{
    char *text = (char *)memory;
    FILE *stream = tmpfile();
    memset(text, 'y', 9000);
    fprintf(stream, "%s", text);
    fputs(text, stream);
    fprintf(stream, "%s and %s\n", text, text);
    printf("%s", text);
    puts(text);
    fputs(text, stdout);
    printf("%ld\n", ftell(stream));
    rewind(stream);
    setvbuf(stream, text + 20000, _IOFBF, 4096);
    for (int k = 0; k < 3; k++)
        putchar(fgets(text + 10000, 4000, stream) ? text[10000] : '0');
    printf("%d %d\n", fscanf(stream, "%3999s", text + 10000), getc(stream));
    fclose(stream);
    fputs(text, stderr), perror(text);
}

#define ALONE(type) ((type *)memset(memory + 4096 * (++page % 16), 0, 4096))
#define TOLD(call) do { errno = 0; long given = (long)(call); printf("%s: %s\n", #call, given == -1 ? strerror(errno) : "done"); } while (0)
#define TOLD_PATH(call) do { char *path = strcpy(ALONE(char), near); TOLD(call); } while (0)

/* What system calls are given stands in the mapping, each in a page that nothing else touched. */
static void given(void)
{
    static int page;
    int ends[2], queue = epoll_create1(0);
    char near[4000], other[] = "/dev/null";
    struct epoll_event one = {.events = EPOLLOUT};
    snprintf(near, sizeof near, "%s.near", name);
    socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    epoll_ctl(queue, EPOLL_CTL_ADD, ends[0], &one);
    TOLD_PATH(mkdir(path, 0700)); TOLD_PATH(access(path, R_OK)); TOLD_PATH(chmod(path, 0755)); TOLD_PATH(opendir(path) ? 0 : -1);
    TOLD_PATH(rmdir(path)); TOLD_PATH(open(path, O_CREAT | O_EXCL | O_RDWR, 0600)); TOLD_PATH(open(path, O_CREAT | O_EXCL | O_RDWR, 0600));
    TOLD_PATH(fopen(path, "r") ? 0 : -1); TOLD_PATH(truncate(path, 5)); TOLD_PATH(rename(path, path)); TOLD_PATH(unlink(path)); TOLD_PATH(unlink(path));
    TOLD_PATH(symlink(other, path)); TOLD_PATH(readlink(path, ALONE(char), 50)); printf("%s\n", (char *)memory + page % 16 * 4096); TOLD_PATH(remove(path));
    TOLD(stat("/", ALONE(struct stat))); TOLD(fstat(file, ALONE(struct stat))); TOLD(statx(AT_FDCWD, "/", 0, STATX_ALL, ALONE(struct statx)));
    TOLD(getcwd(ALONE(char), 4000) ? 0 : -1); TOLD(pipe(ALONE(int))); TOLD(socketpair(AF_UNIX, SOCK_STREAM, 0, ALONE(int)));
    struct flock *lock = ALONE(struct flock);
    lock->l_type = F_WRLCK;
    TOLD(fcntl(file, F_SETLK, lock)); TOLD(fcntl(file, F_GETLK, lock)); TOLD(fcntl(file, F_OFD_GETLK, lock));
    printf("%d\n", lock->l_type);
    struct iovec *part = ALONE(struct iovec);
    struct msghdr *message = ALONE(struct msghdr);
    *message = (struct msghdr){.msg_iov = part, .msg_iovlen = 1};
    *part = (struct iovec){strcpy(ALONE(char), "words"), 6};
    TOLD(sendmsg(ends[0], message, 0));
    part->iov_base = ALONE(char);
    TOLD(recvmsg(ends[1], message, 0));
    printf("%s\n", (char *)part->iov_base);
    struct pollfd *asked = ALONE(struct pollfd);
    *asked = (struct pollfd){.fd = ends[0], .events = POLLOUT};
    TOLD(poll(asked, 1, 0)); TOLD(epoll_wait(queue, ALONE(struct epoll_event), 1, 0)); TOLD(ioctl(ends[0], FIONREAD, ALONE(int)));
    fd_set *set = ALONE(fd_set);
    FD_SET(ends[0], set);
    TOLD(select(ends[0] + 1, NULL, set, NULL, ALONE(struct timeval)));
    socklen_t *size = ALONE(socklen_t);
    *size = 4;
    TOLD(getsockopt(ends[0], SOL_SOCKET, SO_TYPE, ALONE(int), size)); TOLD(getsockname(ends[0], (struct sockaddr *)ALONE(char), size));
    int *status = ALONE(int); /* before the fork: both go on with the pages behind it */
    pid_t child = fork();
    if (!child) {
        char **words = ALONE(char *);
        words[0] = strcpy(ALONE(char), "sh"), words[1] = strcpy(ALONE(char), "-c"), words[2] = strcpy(ALONE(char), "exit 3");
        _exit(execv(strcpy(ALONE(char), "/bin/sh"), words));
    }
    TOLD(waitpid(child, status, 0));
    printf("%d %d\n", WEXITSTATUS(*status), system(strcpy(ALONE(char), "exit 4")));
    TOLD(nanosleep(ALONE(struct timespec), NULL)); TOLD(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, ALONE(struct timespec)));
    TOLD(getrusage(RUSAGE_SELF, ALONE(struct rusage))); TOLD(getrlimit(RLIMIT_NOFILE, ALONE(struct rlimit))); TOLD(uname(ALONE(struct utsname)));
    TOLD(getentropy(ALONE(char), 16)); TOLD(sigpending(ALONE(sigset_t))); TOLD(sched_getaffinity(0, 128, ALONE(cpu_set_t)));
    TOLD(mincore(memory, 4096, ALONE(unsigned char)));
}

static void counts(int number) { memory[number]++; }

/* Signals that are blocked all but one while a call waits: its handler touches the mapping. What is blocked waits. */
static void waiting(void)
{
    struct timespec time = {5, 0};
    sigset_t all, most, one, pending;
    int waits = epoll_create(1);
    struct epoll_event event;
    signal(SIGUSR1, counts);
    signal(SIGSEGV, counts);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    sigfillset(&most);
    sigdelset(&most, SIGUSR1);
    for (int k = 0; k < 4; k++) {
        kill(getpid(), SIGUSR1);
        int result = k == 0 ? ppoll(NULL, 0, &time, &most) : k == 1 ? pselect(0, NULL, NULL, NULL, &time, &most)
            : k == 2 ? epoll_pwait(waits, &event, 1, 5000, &most) : sigsuspend(&most);
        printf("%d %d %d, ", result, errno == EINTR, memory[SIGUSR1]);
    }
    sigemptyset(&one);
    sigaddset(&one, SIGSEGV);
    raise(SIGSEGV);
    sigpending(&pending);
    printf("%d %d ", sigismember(&pending, SIGSEGV), memory[SIGSEGV]);
    printf("%d ", sigtimedwait(&one, NULL, &time) == SIGSEGV);
    raise(SIGSEGV);
    sigfillset(&most);
    sigdelset(&most, SIGSEGV);
    printf("%d ", ppoll(NULL, 0, &time, &most));
    printf("%d ", memory[SIGSEGV]);
    raise(SIGSEGV);
    sigprocmask(SIG_UNBLOCK, &one, NULL);
    printf("%d ", memory[SIGSEGV]);
    printf("%x ", (unsigned)sigblock(-1));
    memory[0]++;
    printf("%d %d\n", sighold(SIGSEGV), memory[0]);
}

#define NAMED(name) {#name, name}
static const struct { const char *name; void (*work)(void); } programs[] = {
    NAMED(compute), NAMED(threads), NAMED(handled), NAMED(grown), NAMED(crashes), NAMED(writes_read_only),
    NAMED(behind_the_end), NAMED(sends_itself), NAMED(ignores), NAMED(passed_on),
    NAMED(interrupted), NAMED(unmapped), NAMED(crowded), NAMED(many), NAMED(moved), NAMED(locked), NAMED(unnamed),
    NAMED(searched), NAMED(compared), NAMED(printed), NAMED(given), NAMED(waiting),
};

int main(int count_, char **its)
{
    if (count_ < 3 || (file = open(name = its[2], O_RDWR | O_CREAT | O_TRUNC, 0600)) < 0 || ftruncate(file, SIZE))
        return 2;
    memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    for (size_t k = 0; k < sizeof programs / sizeof *programs; k++)
        if (!strcmp(programs[k].name, its[1]))
            return programs[k].work(), fflush(stdout), 0;
    return 2;
}
