// Verifies decisions with jose: reads {"jwks", "tokens"} from a file and prints one line a token.
import { readFileSync } from "node:fs";
import { createLocalJWKSet, errors, jwtVerify } from "jose";

const question = JSON.parse(readFileSync(process.argv[2], "utf8"));
const keys = createLocalJWKSet(question.jwks);
for (const token of question.tokens) {
  try {
    const options = { typ: "update-decision+jws", algorithms: ["ES256", "EdDSA"], requiredClaims: ["exp", "iat"] };
    const { payload } = await jwtVerify(token, keys, options);
    console.log(payload.action);
  } catch (error) {
    if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error;
    console.log("refused");
  }
}
