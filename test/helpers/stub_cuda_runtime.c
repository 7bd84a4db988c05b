/* Stub of the CUDA runtime on host memory, for tests. Work on a stream runs only when the stream is synchronised.

   STUB_CUDA_FAIL=cudaMalloc:2 makes that call return that error. stub_live counts the objects that are not released.
   stub_faults counts objects that were released twice or too early, and wrong uses. */
#include <stdlib.h>
#include <string.h>

#define MOST 64
typedef struct { void *to; const void *from; size_t nbytes; } Copy;
typedef struct { Copy copies[MOST]; int count, capturing, spoiled; } Work; /* a stream, a graph or its executable */
enum { NONE, DEVICE, HOST, STREAM, GRAPH, EXECUTABLE };
static struct { void *pointer; int kind; size_t nbytes; } made[MOST];
static int faults, last_error, current_device = -1;

int stub_faults(void) { return faults; }
int stub_last_error(void) { return last_error; }
int stub_device(void) { return current_device; }

int stub_live(void) {
    int live = 0;
    for (int i = 0; i < MOST; i++) live += made[i].kind != NONE;
    return live;
}

static int result(const char *call, int code) {
    const char *wanted = getenv("STUB_CUDA_FAIL");
    size_t length = strlen(call);
    if (wanted && !strncmp(wanted, call, length) && wanted[length] == ':') code = atoi(wanted + length + 1);
    return code ? (last_error = code) : 0;
}

static int find(const void *pointer, int kind) {
    for (int i = 0; i < MOST; i++)
        if (made[i].kind == kind && made[i].pointer == pointer) return i;
    faults++;
    return -1;
}

static int make(const char *call, void **pointer, size_t nbytes, int kind) {
    int code = result(call, 0);
    *pointer = NULL;
    for (int i = 0; !code && !*pointer && i < MOST; i++)
        if (made[i].kind == NONE) {
            made[i].pointer = *pointer = calloc(1, nbytes);
            made[i].kind = kind;
            made[i].nbytes = nbytes;
        }
    return code;
}

static int release(const char *call, void *pointer, int kind) {
    int i = find(pointer, kind);
    if (i < 0) return result(call, 1);
    free(pointer);
    made[i].kind = NONE;
    return result(call, 0); /* as on a GPU: reports a failure of earlier work, and frees the memory */
}

static void finish(Work *stream) {
    for (Copy *copy = stream->copies; copy < stream->copies + stream->count; copy++)
        memcpy(copy->to, copy->from, copy->nbytes);
    stream->count = 0;
}

static int is_in_use(const char *memory, size_t nbytes) {
    for (int i = 0; i < MOST; i++)
        for (int j = 0; made[i].kind == STREAM && j < ((Work *)made[i].pointer)->count; j++) {
            Copy copy = ((Work *)made[i].pointer)->copies[j];
            if ((char *)copy.to >= memory && (char *)copy.to < memory + nbytes) return 1;
            if ((char *)copy.from >= memory && (char *)copy.from < memory + nbytes) return 1;
        }
    return 0;
}

static int free_memory(const char *call, void *pointer, int kind) {
    int i = find(pointer, kind);
    if (i < 0) return result(call, 1);
    if (is_in_use(pointer, made[i].nbytes)) return faults++, result(call, 1);
    return release(call, pointer, kind);
}

const char *cudaGetErrorName(int code) {
    if (code == 2) return "cudaErrorMemoryAllocation";
    return code == 901 ? "cudaErrorStreamCaptureInvalidated" : "cudaErrorOther";
}

int cudaGetLastError(void) {
    int code = last_error;
    last_error = 0;
    return code;
}

int cudaRuntimeGetVersion(int *version) {
    *version = 12060;
    return result("cudaRuntimeGetVersion", 0);
}

int cudaSetDevice(int device) {
    current_device = device;
    return result("cudaSetDevice", 0);
}

int cudaMemGetInfo(size_t *left, size_t *total) {
    *left = *total = (size_t)64 << 30; /* more than an int holds */
    for (int i = 0; i < MOST; i++) *left -= made[i].kind == DEVICE ? made[i].nbytes : 0;
    return result("cudaMemGetInfo", 0);
}

int cudaMalloc(void **pointer, size_t nbytes) { return make("cudaMalloc", pointer, nbytes, DEVICE); }
int cudaHostAlloc(void **pointer, size_t nbytes, unsigned flags) {
    return flags ? 1 : make("cudaHostAlloc", pointer, nbytes, HOST);
}
int cudaFree(void *pointer) { return pointer ? free_memory("cudaFree", pointer, DEVICE) : result("cudaFree", 0); }
int cudaFreeHost(void *pointer) { return free_memory("cudaFreeHost", pointer, HOST); }

int cudaStreamCreateWithFlags(void **stream, unsigned flags) {
    return flags == 1 ? make("cudaStreamCreateWithFlags", stream, sizeof(Work), STREAM) : 1;
}

int cudaStreamDestroy(void *stream) { /* a GPU would continue the work in memory that may be freed soon */
    faults += find(stream, STREAM) >= 0 && ((Work *)stream)->count;
    return release("cudaStreamDestroy", stream, STREAM);
}

int cudaStreamSynchronize(void *stream) {
    if (find(stream, STREAM) < 0) return result("cudaStreamSynchronize", 400);
    Work *work = stream;
    work->spoiled = work->capturing;
    if (work->capturing) return result("cudaStreamSynchronize", 900);
    finish(work);
    return result("cudaStreamSynchronize", 0);
}

int cudaMemcpyAsync(void *to, const void *from, size_t nbytes, int kind, void *stream) {
    Work *work = stream;
    if (find(stream, STREAM) < 0 || kind != 4 || work->count == MOST) return result("cudaMemcpyAsync", 1);
    int code = result("cudaMemcpyAsync", 0);
    if (!code) work->copies[work->count++] = (Copy){to, from, nbytes};
    return code;
}

int cudaStreamBeginCapture(void *stream, int mode) {
    Work *work = stream;
    if (find(stream, STREAM) < 0 || mode != 1 || work->capturing) return result("cudaStreamBeginCapture", 1);
    finish(work);
    work->capturing = 1;
    return result("cudaStreamBeginCapture", 0);
}

int cudaStreamEndCapture(void *stream, void **graph) {
    Work *work = stream, recorded = *work;
    work->count = work->capturing = work->spoiled = 0;
    *graph = NULL;
    if (recorded.spoiled) return result("cudaStreamEndCapture", 901);
    int code = make("cudaStreamEndCapture", graph, sizeof(Work), GRAPH);
    if (!code) memcpy(*graph, &recorded, sizeof(Work));
    return code;
}

int cudaGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long flags) {
    int code = make("cudaGraphInstantiateWithFlags", executable, sizeof(Work), EXECUTABLE);
    if (!code) memcpy(*executable, graph, sizeof(Work));
    return flags ? 1 : code;
}

int cudaGraphDestroy(void *graph) { return release("cudaGraphDestroy", graph, GRAPH); }
int cudaGraphExecDestroy(void *executable) { return release("cudaGraphExecDestroy", executable, EXECUTABLE); }

int cudaGraphLaunch(void *executable, void *stream) {
    Work *graph = executable, *work = stream;
    if (find(executable, EXECUTABLE) < 0 || find(stream, STREAM) < 0) return result("cudaGraphLaunch", 1);
    for (int i = 0; i < graph->count; i++) work->copies[work->count++] = graph->copies[i];
    return result("cudaGraphLaunch", 0);
}
