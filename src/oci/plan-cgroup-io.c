/* linux.resources.blockIO. Weights live in the files of the BFQ scheduler where it is loaded, in
 * those of the controller (iocost on v2) otherwise; which, only the kernel knows, so both are
 * planned. */
#include "base/str.h"
#include "oci/plan-cgroup-internal.h"

static const struct {
        const char *first, *second; /* second where the first is missing */
        const char *first_device, *second_device;
} weight_files[] = {
        [1] = { "blkio.weight", "blkio.bfq.weight", "blkio.weight_device",
                "blkio.bfq.weight_device" },
        [2] = { "io.bfq.weight", "io.weight", "io.bfq.weight", "io.weight" },
};

/* io.weight counts 1-10000 where everything else counts 10-1000. */
static unsigned long long weight_scaled(uint64_t weight, int version)
{
        return version == 2 ? 1 + (weight - 10) * 9999 / 990 : weight;
}

static int weight_check(struct cgroup_planner *p, const char *field, uint64_t weight)
{
        if (weight >= 10 && weight <= 1000)
                return 0;
        return plan_invalid(p, field, "%llu is not within 10-1000", (unsigned long long)weight);
}

static int plan_weight(struct cgroup_planner *p, const struct spec_block_io *b, int version)
{
        const char *field = "blockIO.weight";

        if (!b->weight.set || !b->weight.v)
                return 0;
        if (weight_check(p, field, b->weight.v) < 0)
                return -1;
        plan_put(p, CGROUP_IO, CGROUP_SET_ELSE, field, weight_files[version].first, "%llu",
                 (unsigned long long)b->weight.v);
        plan_put(p, CGROUP_IO, 0, field, weight_files[version].second, "%llu",
                 weight_scaled(b->weight.v, version));
        return 0;
}

/* Leaf weights went away with the CFQ scheduler; no kernel that we support has them. */
static void leaf_weight_warn(struct cgroup_planner *p, struct opt_u64 leaf_weight)
{
        if (leaf_weight.set && leaf_weight.v)
                plan_warn(p, "linux.resources.blockIO.leafWeight does nothing in this kernel: "
                             "ignored");
}

static int plan_weight_devices(struct cgroup_planner *p, const struct spec_block_io *b, int version)
{
        for (size_t i = 0; i < b->n_weight_devices; i++) {
                const struct spec_weight_device *d = &b->weight_devices[i];
                const char *field = arena_printf(p->a, "blockIO.weightDevice[%zu]", i);

                leaf_weight_warn(p, d->leaf_weight);
                if (!d->weight.set || !d->weight.v)
                        continue;
                if (weight_check(p, field, d->weight.v) < 0)
                        return -1;
                plan_put(p, CGROUP_IO, CGROUP_SET_ELSE, field, weight_files[version].first_device,
                         "%lld:%lld %llu", (long long)d->major, (long long)d->minor,
                         (unsigned long long)d->weight.v);
                plan_put(p, CGROUP_IO, 0, field, weight_files[version].second_device,
                         "%lld:%lld %llu", (long long)d->major, (long long)d->minor,
                         weight_scaled(d->weight.v, version));
        }
        return 0;
}

/* A rate of 0 lifts the limit on v1; v2 has a word for that. */
static void plan_throttles(struct cgroup_planner *p, const struct spec_block_io *b, int version)
{
        const struct {
                const struct spec_throttles *t;
                const char *field, *v1, *v2;
        } kinds[] = {
                { &b->read_bps, "blockIO.throttleReadBpsDevice", "blkio.throttle.read_bps_device",
                  "rbps" },
                { &b->write_bps, "blockIO.throttleWriteBpsDevice",
                  "blkio.throttle.write_bps_device", "wbps" },
                { &b->read_iops, "blockIO.throttleReadIOPSDevice",
                  "blkio.throttle.read_iops_device", "riops" },
                { &b->write_iops, "blockIO.throttleWriteIOPSDevice",
                  "blkio.throttle.write_iops_device", "wiops" },
        };

        for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
                for (size_t i = 0; i < kinds[k].t->n; i++) {
                        const struct spec_throttle_device *d = &kinds[k].t->v[i];
                        long long major = d->major, minor = d->minor;
                        const char *rate =
                                d->rate || version == 1
                                        ? arena_printf(p->a, "%llu", (unsigned long long)d->rate)
                                        : "max";

                        if (version == 1)
                                plan_put(p, CGROUP_IO, 0, kinds[k].field, kinds[k].v1,
                                         "%lld:%lld %s", major, minor, rate);
                        else
                                plan_put(p, CGROUP_IO, 0, kinds[k].field, "io.max",
                                         "%lld:%lld %s=%s", major, minor, kinds[k].v2, rate);
                }
}

int plan_io(struct cgroup_planner *p)
{
        const struct spec_block_io *b = p->r->block_io;
        int version;

        if (!b)
                return 0;
        leaf_weight_warn(p, b->leaf_weight);
        if (!(b->weight.set && b->weight.v) && !b->n_weight_devices && !b->read_bps.n &&
            !b->write_bps.n && !b->read_iops.n && !b->write_iops.n)
                return 0;
        version = plan_need(p, CGROUP_IO, "blockIO");
        if (version < 0 || plan_weight(p, b, version) < 0 || plan_weight_devices(p, b, version) < 0)
                return -1;
        plan_throttles(p, b, version);
        return 0;
}
