#include "policy/facts.h"

namespace cordon::policy {

std::string_view to_string(Assurance assurance) {
  switch (assurance) {
    case Assurance::aal1:
      return "aal1";
    case Assurance::aal2:
      return "aal2";
    case Assurance::aal3:
      return "aal3";
  }
  return "aal1";
}

std::string_view to_string(Ownership ownership) {
  switch (ownership) {
    case Ownership::company:
      return "company";
    case Ownership::personal:
      return "personal";
    case Ownership::vendor:
      return "vendor";
    case Ownership::partner:
      return "partner";
  }
  return "company";
}

std::string_view to_string(Attestation attestation) {
  return attestation == Attestation::tpm ? "tpm" : "software";
}

}  // namespace cordon::policy
