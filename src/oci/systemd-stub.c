/* Placeholder until systemd.c lands: delete this file and its line in meson.build with it. */
#include "oci/systemd.h"
#define W __attribute__((weak))
W int systemd_unit_parse(struct arena *a, const char *p, const char *id, bool u,
                         struct systemd_unit *r, struct err *e)
{
        return -1;
}
W int systemd_slice_expand(struct arena *a, const char *s, const char **r, struct err *e)
{
        return -1;
}
W int systemd_properties(const struct cgroup_plan *p, const char *d, struct buf *o, struct err *e)
{
        return -1;
}
W int systemd_annotations(const struct key_values *a, struct buf *o, struct err *e)
{
        return -1;
}
W int systemd_start(struct arena *a, const struct systemd_start *s, const char **g, struct err *e)
{
        return -1;
}
W int systemd_update(const struct systemd_unit *u, const char *p, struct err *e)
{
        return -1;
}
W int systemd_stop(const struct systemd_unit *u, struct err *e)
{
        return -1;
}
