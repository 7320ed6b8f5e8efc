/* Rules of config-linux.md, "Control groups". */
#include <inttypes.h>

#include "base/macro.h"
#include "base/str.h"
#include "oci/spec-check.h"
#include "oci/spec-decode.h"

static int check_devices(const struct spec_resources *r, struct err *e)
{
        for (size_t i = 0; i < r->n_devices; i++) {
                const char *access = r->devices[i].access;

                if (access[strspn(access, "rwm")])
                        return err_set(e, ERR_INVALID,
                                       "linux.resources.devices[%zu].access: expected letters of "
                                       "rwm, found %s",
                                       i, spec_quote(access).s);
        }
        return 0;
}

static int check_cpu(const struct spec_resources *r, struct err *e)
{
        const struct spec_cpu *c = r->cpu;

        if (c && c->burst.set && c->quota.set && c->quota.v > 0 &&
            c->burst.v > (uint64_t)c->quota.v)
                return err_set(e, ERR_INVALID,
                               "linux.resources.cpu.burst: %" PRIu64 " is above the quota %" PRId64,
                               c->burst.v, c->quota.v);
        return 0;
}

static int check_block_io(const struct spec_resources *r, struct err *e)
{
        const struct spec_block_io *b = r->block_io;

        for (size_t i = 0; b && i < b->n_weight_devices; i++)
                if (!b->weight_devices[i].weight.set && !b->weight_devices[i].leaf_weight.set)
                        return err_set(e, ERR_INVALID,
                                       "linux.resources.blockIO.weightDevice[%zu]: weight or "
                                       "leafWeight is required",
                                       i);
        return 0;
}

/* "64KB", "2MB", "1GB", as the files of the controller are named. */
static int check_hugepages(const struct spec_resources *r, struct err *e)
{
        for (size_t i = 0; i < r->n_hugepages; i++) {
                const char *s = r->hugepages[i].page_size;
                size_t digits = strspn(s, "0123456789");

                if (digits == 0 || s[0] == '0' || !s[digits] || !strchr("KMG", s[digits]) ||
                    !str_eq(s + digits + 1, "B"))
                        return err_set(e, ERR_INVALID,
                                       "linux.resources.hugepageLimits[%zu].pageSize: expected a "
                                       "size such as 2MB, found %s",
                                       i, spec_quote(s).s);
        }
        return 0;
}

static int check_rdma(const struct spec_resources *r, struct err *e)
{
        for (size_t i = 0; i < r->n_rdma; i++)
                if (!r->rdma[i].hca_handles.set && !r->rdma[i].hca_objects.set)
                        return err_set(
                                e, ERR_INVALID,
                                "linux.resources.rdma[%s]: hcaHandles or hcaObjects is required",
                                spec_quote(r->rdma[i].device).s);
        return 0;
}

/* A key is the name of a file in the container's cgroup directory, and of nothing elsewhere. */
static int check_unified(const struct spec_resources *r, struct err *e)
{
        for (size_t i = 0; i < r->unified.n; i++) {
                const char *key = r->unified.v[i].key;
                const char *dot = strchr(key, '.');

                if (strchr(key, '/'))
                        return err_set(
                                e, ERR_INVALID,
                                "linux.resources.unified[%s]: must be a file name (no slashes)",
                                spec_quote(key).s);
                if (!dot || dot == key || !dot[1])
                        return err_set(e, ERR_INVALID,
                                       "linux.resources.unified[%s]: must be in the form "
                                       "CONTROLLER.PARAMETER",
                                       spec_quote(key).s);
        }
        return 0;
}

int spec_check_resources(const struct spec_resources *r, struct err *e)
{
        static int (*const checks[])(const struct spec_resources *r, struct err *e) = {
                check_devices,   check_cpu,  check_block_io,
                check_hugepages, check_rdma, check_unified,
        };

        for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
                if (checks[i](r, e) < 0)
                        return -1;
        return 0;
}
