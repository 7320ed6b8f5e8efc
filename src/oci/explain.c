#include "oci/explain.h"

int explain_exec(const char *path, int error, struct err *e)
{
        return err_sys(e, error, "exec: \"%s\"", path);
}
