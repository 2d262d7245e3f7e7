/* The common declarations of lab/locking/_native.c, lab/racing/_recorder.c and lab/racing/_calls.c, which are built into
 * one module. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#define INTERNAL __attribute__((visibility("hidden")))

/* The words of a log that count requests which are made again: lab/racing/recorder.py. */
enum { REFUSED = 5, DEADLOCKS = 6 };

INTERNAL extern PyObject *lab_typed; /* lab.locking.protocol.typed */
INTERNAL uint64_t lab_now_ns(void);

/* Call the action, which locks or unlocks, and say when it returned; 0, or -1 with its exception. */
INTERNAL int lab_act(PyObject *action, uint64_t *returned_ns);

/* Add Hold, Rounds, bucket and LAYOUT to the module; 0, or -1 with an exception. */
INTERNAL int lab_add_recorder(PyObject *module);

/* Add Stamps and SLOTS to the module; 0, or -1 with an exception. */
INTERNAL int lab_add_calls(PyObject *module);
