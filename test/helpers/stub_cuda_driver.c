/* Stub of the CUDA driver with imaginary GPUs, for tests.

   STUB_CUDA_INIT is the return code of cuInit. STUB_CUDA_COUNT is the number of GPUs. */
#include <stdlib.h>
#include <string.h>

static int number(const char *name, int fallback) { return getenv(name) ? atoi(getenv(name)) : fallback; }

int cuInit(unsigned flags) { return flags ? 1 : number("STUB_CUDA_INIT", 0); }

int cuDeviceGetCount(int *count) {
    *count = number("STUB_CUDA_COUNT", 2);
    return 0;
}

int cuDeviceGet(int *device, int index) {
    *device = 40 + index; /* a handle may differ from the index */
    return 0;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    if (device < 40 || (attribute != 75 && attribute != 76 && attribute != 16)) return 1;
    *value = attribute == 16 ? 4 : attribute == 75 ? 8 : 7;
    return 0;
}

int cuDeviceGetName(char *name, int size, int device) {
    strncpy(name, device == 40 ? "Imaginary Orin" : "Imaginary RTX", size);
    return device < 40;
}

int cuDriverGetVersion(int *version) {
    *version = 12060;
    return 0;
}

#ifndef WITHOUT_MEMORY
int cuDeviceTotalMem_v2(size_t *nbytes, int device) {
    *nbytes = (size_t)64 << 30; /* more than an int holds */
    return device < 40;
}
#endif

int cuGetErrorName(int code, const char **name) {
    if (code != 100) return 1;
    *name = "CUDA_ERROR_NO_DEVICE";
    return 0;
}
