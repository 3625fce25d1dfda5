// Creates an order, and prints a shop's alerts: each once and in order, through every
// cut. DOORBELL is the server's address, SERVICE and CONSOLE are tokens, NUMBER is
// the order's. Java 11 or later, nothing else: java Follow.java
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.charset.StandardCharsets;

public class Follow {
    static final String SERVER = System.getenv("DOORBELL");

    static HttpURLConnection open(String path, String token) throws IOException {
        HttpURLConnection c = (HttpURLConnection) URI.create(SERVER + path).toURL().openConnection();
        c.setRequestProperty("Authorization", "Bearer " + token);
        c.setConnectTimeout(10_000);
        c.setReadTimeout(40_000); // a server pings every 15 s: one that is silent for longer is gone
        return c;
    }

    static void order() throws IOException {
        HttpURLConnection c = open("/api/v1/orders", System.getenv("SERVICE"));
        c.setRequestMethod("POST");
        c.setRequestProperty("Content-Type", "application/json");
        c.setDoOutput(true);
        String body = "{\"number\":\"" + System.getenv("NUMBER") + "\",\"shopId\":1,\"amount\":1250}";
        c.getOutputStream().write(body.getBytes(StandardCharsets.UTF_8));
        if (c.getResponseCode() >= 300) throw new IOException("create the order: " + c.getResponseCode());
    }

    static String cursor = "0"; // from the oldest; keep it where it survives a restart

    static void follow() throws IOException {
        HttpURLConnection c = open("/events?shops=1&after=" + cursor, System.getenv("CONSOLE"));
        try (BufferedReader lines = new BufferedReader(new InputStreamReader(c.getInputStream(), StandardCharsets.UTF_8))) {
            String id = "", event = "", data = "";
            for (String line; (line = lines.readLine()) != null; ) {
                if (line.startsWith("id: ")) id = line.substring(4);
                if (line.startsWith("event: ")) event = line.substring(7); // of all but alerts
                if (line.startsWith("data: ")) data = line.substring(6);
                if (!line.isEmpty()) continue;
                // The event is whole; what was cut off before this counts for nothing.
                if (!data.isEmpty() && event.isEmpty()) System.out.println(data);
                if (!id.isEmpty()) cursor = id;
                id = event = data = "";
            }
        }
    }

    public static void main(String[] args) throws InterruptedException {
        try {
            order();
        } catch (IOException err) {
            System.err.println(err);
        }
        while (true) {
            try {
                follow();
            } catch (IOException err) {
                System.err.println(err);
            }
            Thread.sleep(200);
        }
    }
}
