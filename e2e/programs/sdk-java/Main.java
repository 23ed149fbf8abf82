import java.util.*;
public class Main {
  static final Object LOCK = new Object();
  static volatile long sink;
  static void burnCpuInJava(long until) { while (System.currentTimeMillis() < until) { long x = 0; for (int i = 0; i < 100000; i++) x += i * 31 ^ x; sink = x; } }
  static void allocateInJava(long until) { List<byte[]> l = new ArrayList<>(); while (System.currentTimeMillis() < until) { l.add(new byte[64 << 10]); if (l.size() > 100) l.clear(); } }
  static void contendInJava(long until) { while (System.currentTimeMillis() < until) synchronized (LOCK) { try { Thread.sleep(20); } catch (InterruptedException e) { return; } } }
  public static void main(String[] a) throws Exception {
    long end = System.currentTimeMillis() + 7000;
    Thread[] all = { new Thread(() -> burnCpuInJava(end)), new Thread(() -> allocateInJava(end)), new Thread(() -> contendInJava(end)), new Thread(() -> contendInJava(end)) };
    for (Thread t : all) t.start();
    for (Thread t : all) t.join();
    Thread.sleep(3500);
  }
}
