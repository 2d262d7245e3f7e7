/* Forking a crowd of workers in one go: lab/processes/crowd.py.
 *
 * After each fork the parent copies every page that it writes to, and each child keeps the old copy. A loop in Python
 * writes to about 110 pages a fork, this one to about 25. What a child is to do first is done here for the same reason. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Do what lab.processes.child.live does before it runs the body; the stops have their default effect already. */
static void begin(pid_t parent, pid_t group, const sigset_t *stops)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
        _exit(1); /* the parent died before the signal was asked for */
    if (setpgid(0, group)) {
        static const char refused[] = "lab: setpgid was refused to a worker\n";
        ssize_t written = write(STDERR_FILENO, refused, sizeof refused - 1);
        (void)written;
        _exit(1);
    }
    PyOS_AfterFork_Child();
    sigprocmask(SIG_UNBLOCK, stops, NULL);
}

/* fork_many(pids, group, stops) -> (index, group, errno): fork as many as `pids` has room for. In a child the index is
 * its own. In the parent it is -1, and `pids`, a buffer of 32-bit numbers, holds those made: 0 from the first refused on,
 * for the reason that errno gives. Group 0 makes the first child the leader of a new one; it is returned. */
static PyObject *fork_many(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    Py_buffer made;
    int group;
    PyObject *listed;
    if (!PyArg_ParseTuple(arguments, "w*iO!", &made, &group, &PyTuple_Type, &listed))
        return NULL;
    sigset_t stops;
    sigemptyset(&stops);
    for (Py_ssize_t at = 0; at < PyTuple_Size(listed); at++)
        sigaddset(&stops, (int)PyLong_AsLong(PyTuple_GetItem(listed, at)));
    if (PyErr_Occurred()) {
        PyBuffer_Release(&made);
        return NULL;
    }
    int32_t *pids = made.buf;
    Py_ssize_t index = -1, count = made.len / (Py_ssize_t)sizeof *pids;
    pid_t parent = getpid();
    int refused = 0;
    PyOS_BeforeFork();
    for (Py_ssize_t at = 0; at < count && !refused; at++) {
        pid_t pid = fork();
        if (!pid) {
            begin(parent, group, &stops);
            index = at;
            break;
        }
        refused = pid < 0 ? errno : 0;
        if (refused)
            break;
        pids[at] = pid;
        setpgid(pid, group); /* both do it, so that neither needs the other's turn; one that has ended needs none */
        group = group ? group : pid;
    }
    if (index < 0)
        PyOS_AfterFork_Parent();
    PyBuffer_Release(&made);
    PyObject *result = Py_BuildValue("nii", index, group, refused);
    if (!result && index >= 0)
        _exit(1); /* an exception would rise into the caller's frames */
    return result;
}

PyObject *lab_open_again(PyObject *, PyObject *); /* lab/memory/_mapped.c */

static PyMethodDef methods[] = {
    {"open_again", lab_open_again, METH_VARARGS, "Open and map a file in the place of what was inherited."},
    {"fork_many", fork_many, METH_VARARGS, "Fork many children; return the index in a child, -1 in the parent."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot module_slots[] = {{0, NULL}};

static PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "lab.processes._crowd",
    .m_doc = "Forking a crowd of workers, and opening the file anew in each of them, compiled.",
    .m_methods = methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__crowd(void) { return PyModuleDef_Init(&module_definition); }
