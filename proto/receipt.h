#pragma once
// What is signed: receipts by a device, heads by a controller. Signed text is a label, then fixed-width
// fields.

#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "base/time.h"

namespace cordon::wire {

struct ReceiptFields {
  DeviceId device;
  Revision revision;
  Sha256 head_hash{};
  Sha256 digest{};
  Timestamp at{};
};
/// "cordon receipt 1" 0 device 0 revision(8) head(32) digest(32) at_us(8), integers big-endian.
Bytes receipt_text(const ReceiptFields& fields);

/// "cordon head 1" 0 revision(8) hash(32).
Bytes head_text(Revision revision, const Sha256& hash);

/// "cordon controllers 1" 0 at_us(8), then of each endpoint address(16) port(2).
Bytes controllers_text(Timestamp at, const std::vector<cordon::Endpoint>& endpoints);

/// "cordon enrol poll" 0 device 0 at_us(8).
Bytes enrol_poll_text(const DeviceId& device, Timestamp at);

}  // namespace cordon::wire
