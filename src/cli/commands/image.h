/* The commands on images that are here: images, rmi, tag, untag, history, image ... */
#pragma once

#include "cli/opt.h"

extern const struct command cmd_images, cmd_rmi, cmd_tag, cmd_untag, cmd_history;
extern const struct command cmd_image_inspect, cmd_image_tree, cmd_image_prune, cmd_image_exists;
extern const struct command cmd_image_diff, cmd_image_mount, cmd_image_unmount;

struct ctx;
struct image;
/* Whether `berth image mount` has it mounted. */
bool image_is_mounted(struct ctx *c, const struct image *i);
