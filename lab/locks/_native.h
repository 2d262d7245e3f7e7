/* What lab/locks/_native.c and lab/race/_recorder.c, of which one module is built, have in common. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#define INTERNAL __attribute__((visibility("hidden")))

INTERNAL extern PyObject *lab_typed; /* lab.locks.protocol.typed */
INTERNAL uint64_t lab_now_ns(void);

/* Call whatever locks or unlocks, and tell when it returned; 0, or -1 with what it raised. */
INTERNAL int lab_act(PyObject *action, uint64_t *returned_ns);

/* Add Hold, Rounds, bucket and LAYOUT to the module; 0, or -1 with an exception. */
INTERNAL int lab_add_recorder(PyObject *module);
