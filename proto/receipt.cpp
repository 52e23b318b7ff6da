#include "proto/receipt.h"

#include <string_view>

namespace cordon::wire {
namespace {

// Labels and device names hold no zero byte, so a text of one kind is never a text of another.
void put_text(Bytes& out, std::string_view text) {
  const ByteView bytes = as_bytes(text);
  out.insert(out.end(), bytes.begin(), bytes.end());
  put_u8(out, 0);
}
void put_hash(Bytes& out, const Sha256& hash) {
  out.insert(out.end(), hash.begin(), hash.end());
}
void put_time(Bytes& out, Timestamp at) {
  put_u64(out, static_cast<std::uint64_t>(to_us(at)));
}

}  // namespace

Bytes receipt_text(const ReceiptFields& fields) {
  Bytes out;
  put_text(out, "cordon receipt 1");
  put_text(out, fields.device.value);
  put_u64(out, fields.revision.value);
  put_hash(out, fields.head_hash);
  put_hash(out, fields.digest);
  put_time(out, fields.at);
  return out;
}

Bytes head_text(Revision revision, const Sha256& hash) {
  Bytes out;
  put_text(out, "cordon head 1");
  put_u64(out, revision.value);
  put_hash(out, hash);
  return out;
}

Bytes controllers_text(Timestamp at, const std::vector<cordon::Endpoint>& endpoints) {
  Bytes out;
  put_text(out, "cordon controllers 1");
  put_time(out, at);
  for (const cordon::Endpoint& endpoint : endpoints) {
    out.insert(out.end(), endpoint.address.bytes.begin(), endpoint.address.bytes.end());
    put_u16(out, endpoint.port);
  }
  return out;
}

Bytes enrol_poll_text(const DeviceId& device, Timestamp at) {
  Bytes out;
  put_text(out, "cordon enrol poll");
  put_text(out, device.value);
  put_time(out, at);
  return out;
}

}  // namespace cordon::wire
