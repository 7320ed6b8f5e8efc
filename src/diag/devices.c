#include "diag/devices.h"

#include "base/str.h"

static const struct device_name {
        char type;
        int64_t major, minor;
        const char *name;
        bool usual, dangerous;
} names[] = {
        { 'c', 1, 3, "null", true, false },
        { 'c', 1, 5, "zero", true, false },
        { 'c', 1, 7, "full", true, false },
        { 'c', 1, 8, "random", true, false },
        { 'c', 1, 9, "urandom", true, false },
        { 'c', 5, 0, "tty", true, false },
        { 'c', 5, 1, "console", true, false },
        { 'c', 5, 2, "ptmx", true, false },
        { 'c', 136, -1, "pts", true, false },
        { 'c', 1, 1, "mem", false, true },
        { 'c', 1, 2, "kmem", false, true },
        { 'c', 1, 4, "port", false, true },
        { 'c', 1, 11, "kmsg", false, false },
        { 'c', 4, 0, "tty0", false, false },
        { 'c', 4, 64, "ttyS0", false, false },
        { 'c', 10, 130, "watchdog", false, false },
        { 'c', 10, 200, "net/tun", false, false },
        { 'c', 10, 229, "fuse", false, false },
        { 'c', 10, 232, "kvm", false, false },
        { 'c', 10, 236, "mapper/control", false, true },
        { 'c', 10, 237, "loop-control", false, true },
        { 'c', 10, 238, "vhost-net", false, false },
        { 'c', 13, -1, "input", false, false },
        { 'c', 21, -1, "sg", false, true },
        { 'c', 195, -1, "nvidia", false, false },
        { 'c', 226, -1, "dri", false, false },
        { 'b', 7, -1, "loop", false, true },
        { 'b', 8, -1, "sd", false, true },
        { 'b', 9, -1, "md", false, true },
        { 'b', 252, -1, "vd", false, true },
        { 'b', 253, -1, "dm or vd", false, true },
        { 'b', 254, -1, "dm or vd", false, true },
        { 'b', 259, -1, "nvme", false, true },
};

static const struct device_name *find(const struct device_fact *d)
{
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (names[i].type == d->type && names[i].major == d->major &&
                    (names[i].minor < 0 || names[i].minor == d->minor))
                        return &names[i];
        return NULL;
}

static bool opens(const struct device_fact *d)
{
        return strpbrk(d->access, "rw") != NULL;
}

void devices_name(struct device_fact *d)
{
        const struct device_name *n = find(d);

        if (n)
                d->name = n->name;
        d->dangerous = opens(d) && ((n && n->dangerous) || d->type == 'b' || d->type == 'a' ||
                                    (d->type == 'c' && d->major < 0));
}

bool devices_default(const struct device_fact *d)
{
        const struct device_name *n = find(d);

        return (n && n->usual) || (d->major < 0 && d->minor < 0 && !opens(d));
}

size_t devices_of_interest(struct arena *a, struct device_fact **ret)
{
        struct device_fact *list = arena_array(a, struct device_fact, ARRAY_SIZE(names) + 2);
        size_t n = 0;

        list[n++] = (struct device_fact){ .type = 'c', .major = -1, .minor = -1 };
        list[n++] = (struct device_fact){ .type = 'b', .major = -1, .minor = -1 };
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                list[n++] = (struct device_fact){ .type = names[i].type,
                                                  .major = names[i].major,
                                                  .minor = names[i].minor,
                                                  .name = names[i].name };
        *ret = list;
        return n;
}
