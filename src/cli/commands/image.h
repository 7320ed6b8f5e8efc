/* The commands on images that are here: images, rmi, tag, untag, history, image ... */
#pragma once

#include "cli/berth.h"
#include "codec/json.h"
#include "image/store.h"

extern const struct command cmd_images, cmd_rmi, cmd_tag, cmd_untag, cmd_history;
extern const struct command cmd_image_inspect, cmd_image_tree, cmd_image_prune, cmd_image_exists;
extern const struct command cmd_image_diff, cmd_image_mount, cmd_image_unmount;

struct ctx;
struct image;
/* Whether `berth image mount` has it mounted. */
bool image_is_mounted(struct ctx *c, const struct image *i);

/* image-inspect.c: the JSON of one image, appended. */
int image_inspect(struct ctx *c, struct store *s, const char *name, struct json_writer *w,
                  struct err *e);

/* Differences as docker prints them, or podman's JSON. image-diff.c */
struct difference;
int differences_print(const struct difference *v, size_t n, bool json, struct err *e);
