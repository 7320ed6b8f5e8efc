/* config.json from strangers: reading must neither crash nor hang, and what is let pass keeps the
 * promises of spec.h that its users rely on. */
#include <stdint.h>
#include <stdlib.h>

#include "base/str.h"
#include "oci/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
        if (!ok)
                abort();
}

static void check_promises(const struct spec *s)
{
        char path[256];

        require(!str_empty(s->root.path));
        for (size_t i = 0; i < s->n_mounts; i++)
                require(!str_empty(s->mounts[i].destination));
        for (size_t i = 0; i < s->linux_.sysctl.n; i++) {
                require(spec_sysctl_path(s->linux_.sysctl.v[i].key, path, sizeof path));
                require(path[0] != '/' && !strstr(path, "//") && !strstr(path, "/../"));
        }
        if (s->process)
                require(s->process->cwd[0] == '/' && s->process->args.n > 0);
        if (s->linux_.seccomp)
                require(s->linux_.seccomp->default_action);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO_ARENA a = { 0 };
        struct err e = { 0 };
        struct spec s;

        if (spec_parse(&a, (const char *)data, size, &s, &e) < 0)
                require(e.code != ERR_NONE && e.chain[0]);
        else
                check_promises(&s);
        return 0;
}
