#include "image/store.h"

const char *const layer_backend_names[LAYER_BACKEND_MAX] = { "erofs", "directory" };
