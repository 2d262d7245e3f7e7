/* Tell `lab watch` what orders your processes where it cannot see it: a socket, a signal, a flag that one spins on.

       store(shared);                          while (!flag)
       lab_release("flag");                        ;
       flag = 1;                               lab_acquire("flag");
                                               load(shared);

   What a process did before lab_release(NAME) comes before what another does after a later lab_acquire(NAME). Release
   before you send, acquire after you have received. lab_ordered_by(NAME) does both: all that pass it are in one order.
   The name is any text; processes that mean the same use the same.

   Copy this file into your program, or include it from where `lab watch --header` says it is. It links to nothing. In a
   program that is not watched a call costs a load and a branch, and nothing at all with -DLAB_NO_WATCH. */

#ifndef LAB_WATCH_ANNOTATIONS_H
#define LAB_WATCH_ANNOTATIONS_H

#if defined(LAB_NO_WATCH) || !defined(__linux__)

static inline void lab_release(const char *name) { (void)name; }
static inline void lab_acquire(const char *name) { (void)name; }

#else

#include <dlfcn.h>

/* The function of the library that is preloaded into a watched program; NULL in any other. */
static inline void lab_order_(int releases, const char *name)
{
    static void (*order)(int, const char *);
    static int asked;
    if (!__atomic_load_n(&asked, __ATOMIC_ACQUIRE)) {
        order = (void (*)(int, const char *))dlsym((void *)0, "lab_watch_order"); /* RTLD_DEFAULT */
        __atomic_store_n(&asked, 1, __ATOMIC_RELEASE);
    }
    if (order)
        order(releases, name);
}

static inline void lab_release(const char *name) { lab_order_(1, name); }
static inline void lab_acquire(const char *name) { lab_order_(0, name); }

#endif

static inline void lab_ordered_by(const char *name)
{
    lab_acquire(name);
    lab_release(name);
}

#endif
