/* One lock call, fcntl(2) or flock(2), made where it is wanted: all of the way that is usual is inline.
 *
 * A processor predicts where a function returns to from the calls that it has seen, and a kernel that is protected
 * against Inception and the like leaves predictions behind that are all wrong. The first return after a system call
 * then costs 110 ns (AMD EPYC, Linux 6.18), a fifth of the call. So the call is made by its instruction, with no
 * function around it, and some calls follow that give the processor harmless predictions. The C library adds nothing to
 * these system calls but errno. It is called on other processors, and where another library has been put in front of it
 * (LD_PRELOAD). */

#include "_native.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/syscall.h>
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#else
enum { __libc_single_threaded = 0 };
#endif

enum { FLOCK = -1 }; /* in place of a command of fcntl(2) */

/* fcntl(2) with `range`, or, where `whole` is set, flock(2): `whole` is the unlock of the same open file (in an unlock
 * itself), and counts the ranges that are held through it. */
typedef struct Call {
    PyObject_HEAD
    int descriptor, command, unlocks;
    struct flock range; /* of flock(2) only l_type, the operation */
    struct Call *whole;
    int count, exclusive;
    unsigned forks;
} Call;

INTERNAL extern PyTypeObject *lab_call_type;
INTERNAL extern unsigned lab_forks;    /* between this process and the one that imported the module */
INTERNAL extern int lab_uses_library; /* the C library's functions are called: another library is in front of it */

/* Make a call that a signal interrupted again, after each signal was handled (PEP 475); as lab_try_call. */
INTERNAL int lab_again(const Call *self, uint64_t *returned_ns);

/* Raise OSError for this errno; for -1 there is an exception. Return -1. */
INTERNAL int lab_raise(const Call *self, int failed);

/* Call an action that is not a Call. */
INTERNAL int lab_act_otherwise(PyObject *action, uint64_t *returned_ns);

#if defined(__x86_64__) && defined(__LP64__)
#define HAS_INSTRUCTION 1
#if defined(__CET__) && __CET__ & 2
#define PREDICT_RETURNS "" /* a shadow stack would have to be told of each call */
#else
/* Four calls whose returns are never made, below what the function may have below its stack (the red zone); the kernel
 * does the same to empty the predictions (FILL_RETURN_BUFFER). */
#define PREDICT_RETURNS                                                                                                \
    "lea -128(%%rsp), %%rsp\n\t"                                                                                       \
    "call 1f\n\tint3\n1:\tcall 1f\n\tint3\n1:\tcall 1f\n\tint3\n1:\tcall 1f\n\tint3\n1:\t"                              \
    "lea 160(%%rsp), %%rsp"
#endif
static inline int lab_instruction(long number, long descriptor, long command, struct flock *range)
{
    long answer;
    __asm__ volatile("syscall\n\t" PREDICT_RETURNS
                     : "=a"(answer)
                     : "0"(number), "D"(descriptor), "S"(command), "d"(range)
                     : "rcx", "r11", "memory", "cc");
    return (int)-answer;
}
#else
#define HAS_INSTRUCTION 0
#define lab_instruction(number, descriptor, command, range) ((void)(range), ENOSYS)
#endif

/* Return 0, or the errno. */
static inline int lab_kernel(const Call *self, struct flock *range)
{
    if (HAS_INSTRUCTION && !lab_uses_library)
        return self->whole ? lab_instruction(SYS_flock, self->descriptor, range->l_type, NULL)
                           : lab_instruction(SYS_fcntl, self->descriptor, self->command, range);
    int result = self->whole ? flock(self->descriptor, range->l_type) : fcntl(self->descriptor, self->command, range);
    return result < 0 ? errno : 0;
}

/* A request may wait: without the interpreter lock, where another thread could use it. An unlock waits for no holder.
 * Return 0, or the errno. */
static inline int lab_attempt(const Call *self, uint64_t *returned_ns)
{
    struct flock range = self->range; /* another thread may be in the same call */
    PyThreadState *mine = self->unlocks || __libc_single_threaded ? NULL : PyEval_SaveThread();
    int failed = lab_kernel(self, &range);
    if (!self->unlocks)
        *returned_ns = lab_now_ns();
    if (mine)
        PyEval_RestoreThread(mine);
    return failed;
}

/* Say whether the kernel has to be called: lab.locking.kernel.Nesting. */
static inline int lab_is_due(const Call *self)
{
    Call *whole = self->whole;
    if (!whole)
        return 1;
    if (self->unlocks)
        return --whole->count == 0;
    if (whole->forks != lab_forks)
        whole->count = 0;
    whole->forks = lab_forks;
    return whole->count == 0 || (self->range.l_type == LOCK_EX && !whole->exclusive);
}

/* Make the call; a request says when it returned. Return 0, the errno, or -1 where a signal's handler raised. */
static inline int lab_try_call(Call *self, uint64_t *returned_ns)
{
    int due = lab_is_due(self), failed = due ? lab_attempt(self, returned_ns) : 0;
    if (failed == EINTR)
        failed = lab_again(self, returned_ns);
    if (failed)
        return failed;
    if (!due)
        *returned_ns = lab_now_ns();
    if (self->whole && !self->unlocks) {
        if (due)
            self->whole->exclusive = self->range.l_type == LOCK_EX;
        self->whole->count++;
    }
    return 0;
}

/* Call the action, which locks or unlocks, and say when a request returned; 0, or -1 with its exception. */
static inline int lab_act(PyObject *action, uint64_t *returned_ns)
{
    if (!Py_IS_TYPE(action, lab_call_type))
        return lab_act_otherwise(action, returned_ns);
    int failed = lab_try_call((Call *)action, returned_ns);
    return failed ? lab_raise((Call *)action, failed) : 0;
}
