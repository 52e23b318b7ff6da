#pragma once
// A signed head as it travels.

#include "controller/log/record.h"
#include "proto/cordon.pb.h"

namespace cordon::controller {

inline void encode_head(const SignedHead& head, wire::SignedHead* out) {
  out->set_revision(head.revision.value);
  out->set_hash(std::string(as_text(head.hash)));
  out->set_signature(std::string(as_text(head.signature)));
  out->set_signer_pem(head.signer_pem);
}

}  // namespace cordon::controller
