// Umbrella: one header per room of the kernel's interface.
#pragma once
#include "control.h"
#include "lab.h"
#include "netlink.h"
#include "netns.h"
#include "packet.h"
#include "peer.h"
#include "tun.h"
#include "xdp.h"
