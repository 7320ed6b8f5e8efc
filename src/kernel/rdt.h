/* resctrl: Intel RDT and its likes, cache and memory bandwidth classes
 * (Documentation/filesystems/resctrl.rst; config-linux.md, "IntelRdt").
 *
 * root is a descriptor of the mounted file system. A class (CLOS) is a directory in it, named by
 * one path component, or "/" for the default class; a monitoring group is mon_groups/NAME in a
 * class. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Opens /sys/fs/resctrl. A descriptor, -ENOENT when the kernel or the hardware has none, -ENODEV
 * when it is not mounted, or another -errno. */
int rdt_open(void);
/* Whether name can be a class's or monitoring group's directory: no slash, not "", "." or "..", nor
 * one that the file system uses itself (info, mon_groups, mon_data). "/" is valid for a class
 * alone. */
bool rdt_name_ok(const char *name, bool class);

/* Opens the class. With make, it is created where missing, *ret_made (may be NULL) telling whether
 * it was. Returns a directory descriptor, -ENOENT when missing and not to be made, -ENOSPC when the
 * hardware has no class left, or another -errno. */
int rdt_class_open(int root, const char *name, bool make, bool *ret_made);
/* Writes lines to the class's schemata, in that order, each with its newline added; all in one
 * write. -EINVAL for a line that holds a newline or that the kernel refuses: rdt_last_status() then
 * says why. */
int rdt_schemata_write(int class, const char *const *lines, size_t n);
/* Whether each line's resource already has these values: numbers are compared, not text. 1, 0 with
 * *ret_line (may be NULL) the first that differs, -EINVAL for a line that can't be read, or
 * -errno. */
int rdt_schemata_match(int class, const char *const *lines, size_t n, size_t *ret_line);
/* Makes the monitoring group mon_groups/name (existing is fine). 0 or -errno: -ENOSPC none left. */
int rdt_monitor_make(int class, const char *name);
/* Moves the process into the class, and into its monitoring group mon (may be NULL). 0 or
 * -errno. */
int rdt_assign(int class, const char *mon, pid_t pid);
/* Removes what was made; what is gone already is fine. 0 or -errno. */
int rdt_monitor_remove(int class, const char *name);
int rdt_class_remove(int root, const char *name);
/* The first line of info/last_cmd_status, "" when there is none: the file system's own words. */
void rdt_last_status(int root, char *buf, size_t cap);
