/* The program's own handlers of SIGSEGV and SIGBUS. The library handles these signals, and passes on what is not its own:
   the program is told of its handlers and its mask what it said, and its faults reach it as if nobody stood between. */

#include "_watch.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <ucontext.h>

static struct sigaction theirs[65];
static void (*_Atomic handlers[65])(int, siginfo_t *, void *); /* the program's, of the other signals */
static unsigned char masks[65]; /* of what the program has asked to block while it handles each signal: 1 SIGSEGV, 2 SIGBUS */
static int are_ours;
static __thread unsigned char blocked __attribute__((tls_model("initial-exec")));

/* Of the two, those that were sent to a thread which blocks them, as it believes: they wait here. */
static const int BOTH[] = {SIGSEGV, SIGBUS};
static __thread unsigned char sent __attribute__((tls_model("initial-exec")));
static __thread siginfo_t sent_info[2] __attribute__((tls_model("initial-exec")));

static int is_ours(int number) { return are_ours && (number == SIGSEGV || number == SIGBUS); }

static unsigned char taken_from(sigset_t *set)
{
    unsigned char taken = (unsigned char)((sigismember(set, SIGSEGV) == 1) | (sigismember(set, SIGBUS) == 1) << 1);
    sigdelset(set, SIGSEGV);
    sigdelset(set, SIGBUS);
    return taken;
}

static void give_back(sigset_t *set, unsigned char taken)
{
    if (taken & 1)
        sigaddset(set, SIGSEGV);
    if (taken & 2)
        sigaddset(set, SIGBUS);
}

/* In place of each handler of the program: it is told where the program is, not where the library runs it, and what it
   does itself may need the same slots. */
static void interrupted(int number, siginfo_t *info, void *context)
{
    leave_slot(context);
    handlers[number](number, info, context);
}

static int is_handler(const void *its) { return its != (void *)SIG_DFL && its != (void *)SIG_IGN && its != (void *)SIG_ERR && its != (void *)interrupted; }

static void block_both(int how)
{
    sigset_t both;
    sigemptyset(&both);
    sigaddset(&both, SIGSEGV);
    sigaddset(&both, SIGBUS);
    syscall(SYS_rt_sigprocmask, how, &both, NULL, 8);
}

static void send_again(void)
{
    for (int k = 0; k < 2; k++)
        if ((sent & ~blocked) >> k & 1) {
            sent &= (unsigned char)~(1 << k);
            syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), BOTH[k], &sent_info[k]);
        }
}

typedef int action_call(int, const struct sigaction *, struct sigaction *);

static action_call *real_sigaction(void)
{
    REAL(int, sigaction, int, const struct sigaction *, struct sigaction *)
    return real;
}

void prepare_signals(void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK | SA_RESTART};
    sigfillset(&action.sa_mask); /* else a handler of the program could fault while a fault is handled */
    sigdelset(&action.sa_mask, SIGSEGV);
    sigdelset(&action.sa_mask, SIGBUS);
    real_sigaction()(SIGSEGV, &action, &theirs[SIGSEGV]);
    real_sigaction()(SIGBUS, &action, &theirs[SIGBUS]);
    block_both(SIG_UNBLOCK);
    are_ours = 1;
}

/* Do with a signal what the kernel would have done without the library. */
void pass_on(int number, siginfo_t *info, void *context)
{
    struct sigaction action = theirs[number];
    int is_sent = info->si_code <= 0, is_bus = number == SIGBUS;
    if (is_sent && blocked >> is_bus & 1) {
        sent |= (unsigned char)(1 << is_bus);
        sent_info[is_bus] = *info;
        return;
    }
    if (action.sa_handler == SIG_IGN && is_sent)
        return;
    if (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN) {
        struct sigaction none = {.sa_handler = SIG_DFL};
        real_sigaction()(number, &none, NULL);
        if (is_sent)
            syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), number);
        return; /* the instruction is run again, and ends the process */
    }
    sigset_t mask = ((ucontext_t *)context)->uc_sigmask;
    for (int other = 1; other < 65; other++)
        if (sigismember(&action.sa_mask, other) == 1)
            sigaddset(&mask, other);
    taken_from(&mask);
    if (action.sa_flags & (int)SA_RESETHAND)
        theirs[number].sa_handler = SIG_DFL;
    int depth = inside;
    inside = 0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8);
    if (action.sa_flags & SA_SIGINFO)
        action.sa_sigaction(number, info, context);
    else
        action.sa_handler(number);
    inside = depth;
}

PUBLIC int sigaction(int number, const struct sigaction *action, struct sigaction *old)
{
    action_call *real = real_sigaction();
    if (!are_ours || number < 1 || number > 64)
        return real(number, action, old);
    if (is_ours(number)) {
        struct sigaction before_ = theirs[number];
        if (action)
            theirs[number] = *action;
        if (old)
            *old = before_;
        return 0;
    }
    struct sigaction plain_;
    unsigned char taken = masks[number];
    void (*handler)(int, siginfo_t *, void *) = handlers[number];
    if (action) {
        plain_ = *action;
        taken = taken_from(&plain_.sa_mask);
        if (is_handler((void *)action->sa_sigaction)) { /* the kernel gives it all three arguments, with SA_SIGINFO or not */
            handlers[number] = action->sa_sigaction;
            plain_.sa_sigaction = interrupted;
        }
    }
    int result = real(number, action ? &plain_ : NULL, old);
    if (result) {
        handlers[number] = handler;
        return result;
    }
    if (old) {
        give_back(&old->sa_mask, masks[number]);
        if (old->sa_sigaction == interrupted)
            old->sa_sigaction = handler;
    }
    if (action)
        masks[number] = taken;
    return result;
}

typedef void (*handler_)(int);

static handler_ set_handler(int number, handler_ handler, int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags}, old;
    return sigaction(number, &action, &old) ? SIG_ERR : old.sa_handler;
}

static handler_ set_by(handler_ (*real)(int, handler_), int number, handler_ handler, int flags)
{
    if (is_ours(number))
        return set_handler(number, handler, flags);
    if (!are_ours || number < 1 || number > 64)
        return real(number, handler);
    void (*kept)(int, siginfo_t *, void *) = handlers[number];
    if (is_handler((void *)handler))
        handlers[number] = (void (*)(int, siginfo_t *, void *))(void *)handler;
    handler_ old = real(number, is_handler((void *)handler) ? (handler_)(void *)interrupted : handler);
    if (old == SIG_ERR)
        handlers[number] = kept;
    return (void *)old == (void *)interrupted ? (handler_)(void *)kept : old;
}

#define SETS(name, flags) PUBLIC handler_ name(int number, handler_ handler) { REAL(handler_, name, int, handler_) return set_by(real, number, handler, flags); }
SETS(signal, SA_RESTART) SETS(bsd_signal, SA_RESTART) SETS(ssignal, SA_RESTART)
SETS(sysv_signal, (int)SA_RESETHAND | SA_NODEFER) SETS(__sysv_signal, (int)SA_RESETHAND | SA_NODEFER)

/* A thread that blocks the two would be ended by its next access. */
static int masked(int (*real)(int, const sigset_t *, sigset_t *), int how, const sigset_t *set, sigset_t *old)
{
    if (!are_ours)
        return real(how, set, old);
    unsigned char before_ = blocked, taken = 0;
    sigset_t plain_;
    if (set) {
        plain_ = *set;
        taken = taken_from(&plain_);
    }
    int result = real(how, set ? &plain_ : NULL, old);
    if (result)
        return result;
    if (set)
        blocked = (unsigned char)(how == SIG_BLOCK ? before_ | taken : how == SIG_UNBLOCK ? before_ & ~taken : taken);
    if (old)
        give_back(old, before_);
    if (sent & ~blocked)
        send_again();
    return 0;
}

PUBLIC int sigprocmask(int how, const sigset_t *set, sigset_t *old) { REAL(int, sigprocmask, int, const sigset_t *, sigset_t *) return masked(real, how, set, old); }
PUBLIC int pthread_sigmask(int how, const sigset_t *set, sigset_t *old) { REAL(int, pthread_sigmask, int, const sigset_t *, sigset_t *) return masked(real, how, set, old); }

/* Calls that wait, with other signals blocked meanwhile. What was kept and is not blocked then has to come inside of them. */
static const sigset_t *waits_with(const sigset_t *set, sigset_t *copy, unsigned char *kept)
{
    *kept = blocked;
    if (!are_ours || !set)
        return set;
    *copy = *set;
    blocked = taken_from(copy);
    if (sent & ~blocked) {
        block_both(SIG_BLOCK);
        send_again();
    }
    return copy;
}

static int waited_with(int result, unsigned char kept)
{
    int error = errno;
    blocked = kept;
    if (are_ours)
        block_both(SIG_UNBLOCK);
    errno = error;
    return result;
}

#define WAITING(real, ...) sigset_t copy; unsigned char kept; set = waits_with(set, &copy, &kept); return waited_with(real(__VA_ARGS__), kept);
#define OF(at, count) for_kernel(at, (size_t)(count) * sizeof *(at), STORE, CALLER)
#define UNTIL(time) for_kernel(time, sizeof *(time), LOAD, CALLER)
PUBLIC int sigsuspend(const sigset_t *set) { REAL(int, sigsuspend, const sigset_t *) WAITING(real, set) }
PUBLIC int ppoll(struct pollfd *its, nfds_t count, const struct timespec *time, const sigset_t *set) { REAL(int, ppoll, struct pollfd *, nfds_t, const struct timespec *, const sigset_t *) WAITING(real, OF(its, count), count, UNTIL(time), set) }
PUBLIC int __ppoll_chk(struct pollfd *its, nfds_t count, const struct timespec *time, const sigset_t *set, size_t room) { REAL(int, __ppoll_chk, struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t) WAITING(real, OF(its, count), count, UNTIL(time), set, room) }
PUBLIC int pselect(int count, fd_set *reads, fd_set *writes, fd_set *fails, const struct timespec *time, const sigset_t *set) { REAL(int, pselect, int, fd_set *, fd_set *, fd_set *, const struct timespec *, const sigset_t *) WAITING(real, count, OF(reads, 1), OF(writes, 1), OF(fails, 1), UNTIL(time), set) }
PUBLIC int epoll_pwait(int fd, struct epoll_event *to, int count, int milliseconds, const sigset_t *set) { REAL(int, epoll_pwait, int, struct epoll_event *, int, int, const sigset_t *) WAITING(real, fd, OF(to, count > 0 ? count : 0), count, milliseconds, set) }
PUBLIC int epoll_pwait2(int fd, struct epoll_event *to, int count, const struct timespec *time, const sigset_t *set) { REAL(int, epoll_pwait2, int, struct epoll_event *, int, const struct timespec *, const sigset_t *) WAITING(real, fd, OF(to, count > 0 ? count : 0), count, UNTIL(time), set) }

/* The older ways to block signals (sigvec(3), sigset(3)). */
static int old_mask(int how, int mask)
{
    sigset_t set, old;
    int before_ = 0;
    sigemptyset(&set);
    for (int number = 1; number < 32; number++)
        if ((unsigned)mask >> (number - 1) & 1)
            sigaddset(&set, number);
    if (sigprocmask(how, &set, &old))
        return -1;
    for (int number = 1; number < 32; number++)
        before_ |= (int)((unsigned)(sigismember(&old, number) == 1) << (number - 1));
    return before_;
}

PUBLIC int sigblock(int mask) { return old_mask(SIG_BLOCK, mask); }
PUBLIC int sigsetmask(int mask) { return old_mask(SIG_SETMASK, mask); }

static int one_masked(int how, int number)
{
    sigset_t set;
    sigemptyset(&set);
    return sigaddset(&set, number) || sigprocmask(how, &set, NULL) ? -1 : 0;
}

PUBLIC int sighold(int number) { return one_masked(SIG_BLOCK, number); }
PUBLIC int sigrelse(int number) { return one_masked(SIG_UNBLOCK, number); }
PUBLIC int pthread_attr_setsigmask_np(pthread_attr_t *its, const sigset_t *set)
{
    REAL(int, pthread_attr_setsigmask_np, pthread_attr_t *, const sigset_t *)
    sigset_t plain_;
    if (!are_ours || !set)
        return real(its, set);
    plain_ = *set;
    taken_from(&plain_);
    return real(its, &plain_);
}

/* What was sent to the thread while it blocks it. */
static int take_sent(const sigset_t *set, siginfo_t *info)
{
    for (int k = 0; k < 2; k++)
        if (sent >> k & 1 && sigismember(set, BOTH[k]) == 1) {
            sent &= (unsigned char)~(1 << k);
            if (info)
                *info = sent_info[k];
            return BOTH[k];
        }
    return 0;
}

PUBLIC int sigpending(sigset_t *to)
{
    REAL(int, sigpending, sigset_t *)
    int result = real(for_kernel(to, 8, STORE, CALLER)); /* as many bytes the kernel writes */
    if (!result)
        give_back(to, sent);
    return result;
}
PUBLIC int sigwaitinfo(const sigset_t *set, siginfo_t *info) { REAL(int, sigwaitinfo, const sigset_t *, siginfo_t *) int number = take_sent(set, info); return number ? number : real(set, info); }
PUBLIC int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *time) { REAL(int, sigtimedwait, const sigset_t *, siginfo_t *, const struct timespec *) int number = take_sent(set, info); return number ? number : real(set, info, time); }
PUBLIC int sigwait(const sigset_t *set, int *number) { REAL(int, sigwait, const sigset_t *, int *) int found = take_sent(set, NULL); if (found) return *number = found, 0; return real(set, number); }
