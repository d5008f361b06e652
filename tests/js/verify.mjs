// Verifies decisions with jose: reads {"jwks", "tokens"} from a file and prints one line a token.
import { readFileSync } from "node:fs";
import { calculateJwkThumbprint, createLocalJWKSet, decodeProtectedHeader, errors, importJWK, jwtVerify } from "jose";

const question = JSON.parse(readFileSync(process.argv[2], "utf8"));
const keys = createLocalJWKSet(question.jwks);
const algorithms = ["ES256", "EdDSA"];

// The keys of the JWKS, or the one that one of them has delegated to.
async function signer(header) {
  if (header.dlg === undefined) return keys;
  const options = { typ: "signing-delegation+jws", algorithms, requiredClaims: ["exp", "nbf"] };
  const { payload } = await jwtVerify(header.dlg, keys, options);
  if (payload.scope !== "update-decision" || payload.exp - payload.nbf > 3600) throw new Error("a wrong delegation");
  if ((await calculateJwkThumbprint(payload.jwk)) !== header.kid) throw new Error("a delegation of another key");
  return importJWK(payload.jwk);
}

for (const token of question.tokens) {
  try {
    const options = { typ: "update-decision+jws", algorithms, requiredClaims: ["exp", "iat"] };
    const { payload } = await jwtVerify(token, await signer(decodeProtectedHeader(token)), options);
    console.log(payload.action);
  } catch (error) {
    if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error;
    console.log("refused");
  }
}
