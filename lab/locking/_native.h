/* The common declarations of lab/locking/_native.c, lab/racing/_recorder.c and lab/racing/_calls.c, which are built into
 * one module. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <time.h>

#define INTERNAL __attribute__((visibility("hidden")))

/* The words of a log that count requests which are made again: lab/racing/recorder.py. */
enum { REFUSED = 5, DEADLOCKS = 6 };

INTERNAL extern PyObject *lab_typed; /* lab.locking.protocol.typed */

static inline uint64_t lab_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A number that C and Python must both know. */
typedef struct {
    const char *name;
    int value;
} Word;

/* Add a type to the module, and return it, a new reference; NULL with an exception. */
INTERNAL PyTypeObject *lab_add_type(PyObject *module, PyType_Spec *spec);

/* Add a dict of these words to the module, for Python to compare with its own; 0, or -1 with an exception. */
INTERNAL int lab_add_words(PyObject *module, const char *name, const Word *words, size_t count);

/* Add Hold, Rounds, bucket and LAYOUT to the module; 0, or -1 with an exception. */
INTERNAL int lab_add_recorder(PyObject *module);

/* Add Stamps and SLOTS to the module; 0, or -1 with an exception. */
INTERNAL int lab_add_calls(PyObject *module);
