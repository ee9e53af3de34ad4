// A source's link before its state goes over: no output of the guest's waits for the pipe.
//
// QEMU (7.2, and later ones) loads a virtserialport whose output waited wrongly. It writes the
// buffer that waited as soon as it has read it from the stream, and counts the queue's buffers only
// at the end of the device: if the stream pauses between the two, the count goes below none, the
// device is "broken" (`Virtqueue size exceeded`), and the guest's next write spins for ever.
#pragma once

#include "common/result.h"
#include "vch/machine/container_store.h"

namespace vch {

// Of a machine that stands still and has no shim. What is in the pipe is thrown away, and all that
// the guest has handed to the device behind it: to the transport bytes lost on the line, which both
// ends say again.
common::Status drain_link(const Container& container);

}  // namespace vch
