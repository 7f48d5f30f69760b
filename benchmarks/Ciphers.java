/** Cost of sealing a TLS record in Java, as a Kafka broker does for every response. See benchmarks/README.md. */

import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import java.security.spec.AlgorithmParameterSpec;

public class Ciphers {
    private static final int ROUNDS = 6;
    private static final int RECORDS = 10_000;
    private static final int[] BYTES = {200, 2_000, 16_000};

    public static void main(String[] args) throws Exception {
        for (int bytes : BYTES) {
            for (String cipher : new String[] {"AES/GCM/NoPadding", "ChaCha20-Poly1305"}) {
                System.out.printf("%s, %d bytes: %.1f us%n", cipher, bytes, best(cipher, bytes));
            }
        }
    }

    /** Microseconds per record in the best round; the first rounds include compilation. */
    private static double best(String cipher, int bytes) throws Exception {
        double best = Double.MAX_VALUE;
        for (int round = 0; round < ROUNDS; round++) {
            long startedAt = System.nanoTime();
            for (int record = 0; record < RECORDS; record++) {
                seal(cipher, new byte[bytes], round * RECORDS + record);
            }
            best = Math.min(best, (System.nanoTime() - startedAt) / 1e3 / RECORDS);
        }
        return best;
    }

    private static void seal(String cipher, byte[] record, int number) throws Exception {
        byte[] nonce = new byte[12];
        for (int index = 0; index < Integer.BYTES; index++) {
            nonce[index] = (byte) (number >> (8 * index));
        }
        boolean aes = cipher.startsWith("AES");
        AlgorithmParameterSpec parameters =
                aes ? new GCMParameterSpec(128, nonce) : new IvParameterSpec(nonce);
        Cipher sealer = Cipher.getInstance(cipher);
        sealer.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(new byte[32], aes ? "AES" : "ChaCha20"), parameters);
        sealer.doFinal(record);
    }
}
